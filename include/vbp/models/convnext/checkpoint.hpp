#pragma once
/// ConvNeXts of the first version in safetensors files, in timm's and Hugging Face's naming.

#include <array>
#include <string_view>

#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/model.hpp"

namespace vbp::inline VBP_ABI {

using ConvNextCheckpoint = Checkpoint<ConvNext<float>>;

/// The keys that options and metadata may give, in the order in which they are reported.
/// The flag of configuration files is layer_scale.
inline constexpr std::array<std::string_view, 18> kConvNextKeys{
    "architecture",  "image_size",  "patch_size", "channels",    "dims",           "depths",
    "hidden_widths", "num_classes", "activation", "global_pool", "layer_norm_eps", "head_norm_eps",
    "mean",          "std",         "crop_pct",   "crop_mode",   "interpolation",  "class_names"};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/convnext/checkpoint-inl.hpp"
#endif
