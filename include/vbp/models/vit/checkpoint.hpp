#pragma once
/// Vision Transformers in safetensors files, in timm's and Hugging Face's naming.

#include <array>
#include <string_view>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

using VitCheckpoint = Checkpoint<VisionTransformer<float>>;

/// The keys that options and metadata may give, in the order in which they are reported.
/// The flags of configuration files are class_token, distillation_token, qkv_bias, layer_scale, norm and
/// fc_norm. Another image size than the file's resamples the position embeddings.
inline constexpr std::array<std::string_view, 20> kVitKeys{
    "architecture", "image_size",     "patch_size",     "channels",
    "dim",          "depth",          "hidden_widths",  "num_heads",
    "num_classes",  "reg_tokens",     "no_embed_class", "activation",
    "global_pool",  "layer_norm_eps", "mean",           "std",
    "crop_pct",     "crop_mode",      "interpolation",  "class_names"};

namespace checkpoint_detail {

/// What timm's name of an architecture, with or without a tag after a point, says about a model of width
/// `dim`. Only families that are plain throughout: epsilon 1e-6; heads of 64, unless the width is not that of
/// the name; normalisation and crop where all weights of the family share it. Empty for every other name.
VBP_FUNCTION SettingTexts architecture_settings(std::string_view architecture, Index dim);

}  // namespace checkpoint_detail

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/vit/checkpoint-inl.hpp"
#endif
