#pragma once
/// The configuration of a Vision Transformer: everything that its weights do not say by themselves.

#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/config_checks.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// How the tokens that leave the last block become one feature vector.
enum class Pooling {
  class_token,              ///< the class token (with a distillation token each has its own head)
  average,                  ///< the mean over the patch tokens
  class_token_and_average,  ///< both, the average behind the token (Hugging Face's DINOv2 classifier)
};

/// Shape of a Vision Transformer (Dosovitskiy et al. 2021; DeiT, Touvron et al. 2021; DINOv2).
/// Images are square, `channels` x image_size x image_size; a patch is a square of patch_size.
struct VitConfig {
  static constexpr const char* kFamily = "Vision Transformer";
  static constexpr double kFirstLayerScale = 1e-5;

  std::string architecture;  ///< a name for people, for example "deit_tiny_patch16_224"
  Index image_size = 224;
  Index patch_size = 16;
  Index channels = 3;
  Index dim = 0;                     ///< width of a token
  Index heads = 0;                   ///< attention heads; they divide dim
  std::vector<Index> hidden_widths;  ///< width of the MLP of each block; its length is the depth
  Index classes = 0;                 ///< 0: no head, the forward pass returns the pooled features
  bool class_token = true;
  bool distillation_token = false;  ///< with a second head; inference averages the two
  Index register_tokens = 0;
  bool position_covers_prefix = true;  ///< false: positions are added to the patch tokens alone
  bool qkv_bias = true;
  bool layer_scale = false;
  bool norm = true;      ///< layer norm of all tokens before pooling
  bool fc_norm = false;  ///< layer norm of the pooled features (timm's average pooling)
  Activation activation = Activation::gelu;
  Pooling pooling = Pooling::class_token;
  double epsilon = 1e-6;  ///< of every layer norm

  Index depth() const noexcept { return static_cast<Index>(hidden_widths.size()); }
  Index grid() const noexcept { return image_size / patch_size; }
  Index patches() const noexcept { return grid() * grid(); }
  Index prefix_tokens() const noexcept {
    return (class_token ? 1 : 0) + (distillation_token ? 1 : 0) + register_tokens;
  }
  Index tokens() const noexcept { return prefix_tokens() + patches(); }
  Index head_dim() const noexcept { return dim / heads; }
  Index patch_elements() const noexcept { return channels * patch_size * patch_size; }
  Index image_elements() const noexcept { return channels * image_size * image_size; }
  Index pooled_features() const noexcept {
    return pooling == Pooling::class_token_and_average ? 2 * dim : dim;
  }
  /// Rows of one image in the residual stream that enters the first block, and their width.
  Index stream_rows() const noexcept { return tokens(); }
  Index stream_width() const noexcept { return dim; }
  /// Features that the forward pass returns for an image: the classes, or the pooled ones without a head.
  Index outputs() const noexcept { return classes > 0 ? classes : pooled_features(); }

  /// Throws ValueError, naming the member, if a value is impossible or contradicts another.
  void validate() const {
    using namespace detail;
    require_positive(image_size, "image_size");
    require_positive(patch_size, "patch_size");
    require_positive(channels, "channels");
    require_positive(dim, "dim");
    require_positive(heads, "heads");
    require_positive(depth(), "depth");
    for (const Index hidden : hidden_widths) require_positive(hidden, "a hidden width");
    if (classes < 0) throw ValueError("classes must not be negative");
    if (register_tokens < 0) throw ValueError("register_tokens must not be negative");
    if (dim % heads != 0) {
      throw ValueError("a width of " + std::to_string(dim) + " is not divisible by " + std::to_string(heads) +
                       " heads");
    }
    if (patch_size > image_size || image_size % patch_size != 0) {
      throw ValueError("an image size of " + std::to_string(image_size) +
                       " is no multiple of the patch size " + std::to_string(patch_size));
    }
    if (distillation_token && !class_token) throw ValueError("a distillation token needs a class token");
    if (distillation_token && pooling != Pooling::class_token) {
      throw ValueError("a distilled model pools by its tokens, not by the average");
    }
    if (!class_token && pooling != Pooling::average) throw ValueError("this pooling needs a class token");
    require_epsilon(epsilon, "layer_norm_eps");
  }
};

}  // namespace vbp::inline VBP_ABI
