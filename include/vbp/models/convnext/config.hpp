#pragma once
/// The configuration of a ConvNeXt: everything that its weights do not say by themselves.

#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/config_checks.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// Shape of a ConvNeXt of the first version (Liu et al. 2022). Images are square. The stem makes one pixel of
/// the first stage's feature map out of each patch, and every further stage halves the map's sides.
struct ConvNextConfig {
  static constexpr const char* kFamily = "ConvNeXt";
  static constexpr double kFirstLayerScale = 1e-6;
  static constexpr StageLayout kLayout{.stages = "stages.",
                                       .embedding = "stem.0",
                                       .embedding_norm = "stem.1",
                                       .transition_norm = ".0",
                                       .reduction = ".1",
                                       .norm = "head.norm",
                                       .merges_before_norm = false,
                                       .columns_first = false,
                                       .norm_before_pooling = false};

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
  Index first_block(Index stage) const noexcept { return detail::first_block(depths, stage); }
  Index stage_of(Index block) const noexcept { return detail::stage_of(depths, block); }
  Index patch_elements() const noexcept { return channels * patch_size * patch_size; }
  Index image_elements() const noexcept { return channels * image_size * image_size; }
  double embedding_norm_epsilon() const noexcept { return epsilon; }
  double last_norm_epsilon() const noexcept { return head_epsilon; }
  /// Rows of one image in the residual stream that enters the first block, and their width.
  Index stream_rows() const noexcept { return pixels(0); }
  Index stream_width() const noexcept { return dim(0); }
  /// Features that the forward pass returns for an image.
  Index outputs() const noexcept { return classes > 0 ? classes : dims.back(); }

  /// Throws ValueError, naming the member, if a value is impossible or contradicts another.
  void validate() const {
    using namespace detail;
    require_stages(*this);
    require_hidden_widths(hidden_widths, depths);
    if (classes < 0) throw ValueError("classes must not be negative");
    if (stages() > 32 || side(stages() - 1) == 0) {
      throw ValueError("an image size of " + std::to_string(image_size) + " is too small for patches of " +
                       std::to_string(patch_size) + " and " + std::to_string(stages()) + " stages");
    }
    require_epsilon(epsilon, "layer_norm_eps");
    require_epsilon(head_epsilon, "head_norm_eps");
  }
};

}  // namespace vbp::inline VBP_ABI
