#pragma once
/// Swin Transformers of the first version in safetensors files, in timm's and Hugging Face's naming.

#include <array>
#include <string_view>

#include "vbp/models/checkpoint.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

using SwinCheckpoint = Checkpoint<SwinTransformer<float>>;

/// The keys that options and metadata may give, in the order in which they are reported.
/// The flag of configuration files is qkv_bias. There, a single window_size holds for all stages.
inline constexpr std::array<std::string_view, 21> kSwinKeys{
    "architecture",   "image_size",       "patch_size",    "channels",    "dims",       "depths",
    "num_heads",      "window_size",      "hidden_widths", "num_classes", "activation", "global_pool",
    "layer_norm_eps", "embed_norm_eps",   "mean",          "std",         "crop_pct",   "crop_mode",
    "interpolation",  "pad_before_shift", "class_names"};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/swin/checkpoint-inl.hpp"
#endif
