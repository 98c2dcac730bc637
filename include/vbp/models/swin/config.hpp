#pragma once
/// The configuration of a Swin Transformer: everything that its weights do not say by themselves.

#include <algorithm>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/config_checks.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// Shape of a Swin Transformer of the first version (Liu et al. 2021). Images are square; patches make the
/// pixels of the first stage's feature map, and before every further stage squares of four pixels are merged.
/// Attention looks at windows of the map, which every other block of a stage shifts by half a window.
struct SwinConfig {
  static constexpr const char* kFamily = "Swin Transformer";
  static constexpr double kFirstLayerScale = 1.0;  ///< there is none
  static constexpr StageLayout kLayout{.stages = "layers.",
                                       .embedding = "patch_embed.proj",
                                       .embedding_norm = "patch_embed.norm",
                                       .transition_norm = ".norm",
                                       .reduction = ".reduction",
                                       .norm = "norm",
                                       .merges_before_norm = true,
                                       .columns_first = true,
                                       .norm_before_pooling = true};

  std::string architecture;  ///< a name for people, for example "swin_tiny_patch4_window7_224.ms_in1k"
  Index image_size = 224;
  Index patch_size = 4;
  Index channels = 3;
  std::vector<Index> dims;           ///< width of each stage's pixels
  std::vector<Index> depths;         ///< blocks of each stage
  std::vector<Index> heads;          ///< attention heads of each stage's blocks
  std::vector<Index> windows;        ///< side of a window of each stage where its map is larger
  std::vector<Index> hidden_widths;  ///< width of the MLP of each block, stage after stage
  Index classes = 0;  ///< 0: no head, the forward pass returns the mean of the normalised pixels
  bool qkv_bias = true;
  Activation activation = Activation::gelu;
  double epsilon = 1e-5;            ///< of the blocks' layer norms and of the last
  double embedding_epsilon = 1e-5;  ///< of the layer norms of patch embedding and patch merging
  /// Where windows do not divide a map, zeros are added: before the map is shifted, as Hugging Face does, or
  /// behind the shifted map, as timm does.
  bool pad_before_shift = false;

  Index stages() const noexcept { return static_cast<Index>(dims.size()); }
  Index depth() const noexcept { return static_cast<Index>(hidden_widths.size()); }
  Index dim(Index stage) const noexcept { return dims[static_cast<std::size_t>(stage)]; }
  Index head_count(Index stage) const noexcept { return heads[static_cast<std::size_t>(stage)]; }
  Index head_dim(Index stage) const noexcept { return dim(stage) / head_count(stage); }
  /// Pixels on a side of a stage's feature map; merging fills an odd side up with zeros.
  Index side(Index stage) const noexcept {
    const Index scale = Index{1} << stage;
    return (image_size / patch_size + scale - 1) / scale;
  }
  Index pixels(Index stage) const noexcept { return side(stage) * side(stage); }
  /// Pixels on a side of a window; a map that is no larger than a window is one window.
  Index window(Index stage) const noexcept {
    return std::min(windows[static_cast<std::size_t>(stage)], side(stage));
  }
  /// Rows of a block's table of biases, one for each place that a pixel can have relative to another.
  Index bias_rows(Index stage) const noexcept {
    const Index places = 2 * windows[static_cast<std::size_t>(stage)] - 1;
    return places * places;
  }
  /// How far a block's windows are shifted. Every other block of a stage shifts them if there are several.
  Index shift(Index block) const noexcept {
    const Index stage = stage_of(block);
    const bool shifts = (block - first_block(stage)) % 2 == 1 && side(stage) > window(stage);
    return shifts ? window(stage) / 2 : 0;
  }
  /// The stage's first block; of stage stages() one past the last.
  Index first_block(Index stage) const noexcept { return detail::first_block(depths, stage); }
  Index stage_of(Index block) const noexcept { return detail::stage_of(depths, block); }
  Index patch_elements() const noexcept { return channels * patch_size * patch_size; }
  Index image_elements() const noexcept { return channels * image_size * image_size; }
  double embedding_norm_epsilon() const noexcept { return embedding_epsilon; }
  double last_norm_epsilon() const noexcept { return epsilon; }
  /// Rows of one image in the residual stream that enters the first block, and their width.
  Index stream_rows() const noexcept { return pixels(0); }
  Index stream_width() const noexcept { return dim(0); }
  /// Features that the forward pass returns for an image.
  Index outputs() const noexcept { return classes > 0 ? classes : dims.back(); }

  /// Throws ValueError, naming the member, if a value is impossible or contradicts another.
  void validate() const {
    using namespace detail;
    require_stages(*this);
    require_one_a_stage(heads, "heads", "a stage's number of heads", dims);
    require_one_a_stage(windows, "windows", "a stage's window", dims);
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (dims[i] % heads[i] != 0) {
        throw ValueError("a width of " + std::to_string(dims[i]) + " is no multiple of " +
                         std::to_string(heads[i]) + " heads");
      }
    }
    require_hidden_widths(hidden_widths, depths);
    if (classes < 0) throw ValueError("classes must not be negative");
    if (stages() > 32 || image_size < patch_size) {
      throw ValueError("an image size of " + std::to_string(image_size) + " is too small for patches of " +
                       std::to_string(patch_size) + ", or " + std::to_string(stages()) +
                       " stages are too many");
    }
    require_epsilon(epsilon, "layer_norm_eps");
    require_epsilon(embedding_epsilon, "embed_norm_eps");
  }
};

}  // namespace vbp::inline VBP_ABI
