#pragma once
/// What a ConvNeXt is made of: everything that its weights do not say by themselves.

#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/model/layers.hpp"

namespace vbp {

/// Shape of a ConvNeXt of the first version (Liu et al. 2022). Images are square; a stem cuts them into
/// patches, a pixel of the first stage's feature map each, and every further stage halves its sides.
struct ConvNextConfig {
  std::string architecture;  ///< a name for people, for example "convnext_tiny.fb_in1k"
  Index image_size = 224;
  Index patch_size = 4;
  Index channels = 3;
  std::vector<Index> dims;           ///< width of each stage's pixels
  std::vector<Index> depths;         ///< blocks of each stage
  std::vector<Index> hidden_widths;  ///< width of the MLP of each block, stage after stage
  Index classes = 0;  ///< 0: no head, the forward pass returns the normalised mean of the pixels
  bool layer_scale = true;
  Activation activation = Activation::gelu;
  double epsilon = 1e-6;       ///< of every layer norm but the head's
  double head_epsilon = 1e-6;  ///< of the layer norm of the pooled features

  Index stages() const noexcept { return static_cast<Index>(dims.size()); }
  Index depth() const noexcept { return static_cast<Index>(hidden_widths.size()); }
  Index dim(Index stage) const noexcept { return dims[static_cast<std::size_t>(stage)]; }
  /// Pixels on a side of a stage's feature map; where a side is odd, its last row and column are dropped.
  Index side(Index stage) const noexcept { return (image_size / patch_size) >> stage; }
  Index pixels(Index stage) const noexcept { return side(stage) * side(stage); }
  /// The stage's first block; of stage stages() one past the last.
  Index first_block(Index stage) const noexcept {
    Index first = 0;
    for (Index i = 0; i < stage; ++i) first += depths[static_cast<std::size_t>(i)];
    return first;
  }
  Index stage_of(Index block) const noexcept {
    Index stage = 0;
    while (block >= first_block(stage + 1)) ++stage;
    return stage;
  }
  Index patch_elements() const noexcept { return channels * patch_size * patch_size; }
  Index image_elements() const noexcept { return channels * image_size * image_size; }
  /// Features that the forward pass returns for an image.
  Index outputs() const noexcept { return classes > 0 ? classes : dims.back(); }

  /// Throws ValueError, naming the member, if a value is impossible or contradicts another.
  void validate() const {
    const auto positive = [](Index value, const char* name) {
      if (value <= 0) throw ValueError(std::string(name) + " must be positive, not " + std::to_string(value));
    };
    positive(image_size, "image_size");
    positive(patch_size, "patch_size");
    positive(channels, "channels");
    positive(stages(), "the number of stages");
    if (depths.size() != dims.size()) {
      throw ValueError("depths of " + std::to_string(depths.size()) + " stages for dims of " +
                       std::to_string(dims.size()));
    }
    for (const Index dim : dims) positive(dim, "a stage's width");
    for (const Index depth : depths) positive(depth, "a stage's depth");
    for (const Index hidden : hidden_widths) positive(hidden, "a hidden width");
    if (depth() != first_block(stages())) {
      throw ValueError("hidden widths of " + std::to_string(depth()) + " blocks for depths of " +
                       std::to_string(first_block(stages())));
    }
    if (classes < 0) throw ValueError("classes must not be negative");
    if (stages() > 32 || side(stages() - 1) == 0) {
      throw ValueError("an image size of " + std::to_string(image_size) + " is too small for patches of " +
                       std::to_string(patch_size) + " and " + std::to_string(stages()) + " stages");
    }
    if (!(epsilon > 0.0 && epsilon < 1.0)) throw ValueError("layer_norm_eps must lie between 0 and 1");
    if (!(head_epsilon > 0.0 && head_epsilon < 1.0))
      throw ValueError("head_norm_eps must lie between 0 and 1");
  }
};

}  // namespace vbp
