#pragma once
/// The configuration values of a Vision Transformer's checkpoint, and what the name of an architecture says.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "vbp/core/types.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI {

/// The keys that options and metadata may give, in the order in which they are reported.
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
inline SettingTexts architecture_settings(std::string_view architecture, Index dim) {
  const std::size_t point = architecture.find('.');
  std::string_view name = architecture.substr(0, point);
  const std::string_view tag =
      point == std::string_view::npos ? std::string_view() : architecture.substr(point + 1);
  const auto skip = [&name](std::string_view start) {
    if (!name.starts_with(start)) return false;
    name.remove_prefix(start.size());
    return true;
  };
  const auto skip_number = [&name] {
    const std::size_t length = std::min(name.find_first_not_of("0123456789"), name.size());
    name.remove_prefix(length);
    return length > 0;
  };
  const bool vit = skip("vit_");
  const bool deit = !vit && skip("deit_");
  if (!vit && !deit && !skip("deit3_")) return {};
  using Width = std::pair<std::string_view, Index>;
  Index named_width = 0;
  for (const auto& [size, width] : {Width("tiny", 192), Width("little", 320), Width("small", 384),
                                    Width("medium", 512), Width("base", 768), Width("large", 1024)}) {
    if (named_width == 0 && skip(size)) named_width = width;
  }
  if (named_width == 0) return {};
  if (deit) skip("_distilled");
  if (!skip("_patch") || !skip_number()) return {};
  if (vit && skip("_reg") && !skip_number()) return {};
  const bool dinov2 = vit && name == "_dinov2";
  const bool standard_image = name == "_224";
  const bool large_image = name == "_384";
  if (!dinov2 && (!skip("_") || !skip_number() || !name.empty())) return {};

  const bool augreg = vit && !dinov2 && tag.starts_with("augreg");
  SettingTexts texts{{"layer_norm_eps", "1e-06"}};
  if (dim == named_width) texts["num_heads"] = std::to_string(dim / 64);
  if (augreg) {
    texts["mean"] = texts["std"] = "[0.5,0.5,0.5]";
  } else if (!vit || dinov2) {
    texts["mean"] = "[0.485,0.456,0.406]";
    texts["std"] = "[0.229,0.224,0.225]";
  }
  // DeiT III's depends on the training, so that its name does not tell.
  if (dinov2 || ((augreg || deit) && large_image)) {
    texts["crop_pct"] = "1.0";
  } else if ((augreg || deit) && standard_image) {
    texts["crop_pct"] = "0.9";
  }
  return texts;
}

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
