#pragma once
/// The shape of a Vision Transformer that has no weights yet, from a JSON file.

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/config_file.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/checkpoint_config.hpp"
#include "vbp/models/vit/config.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

inline constexpr std::array<Flag<VitConfig>, 6> kVitFlags{
    {{"class_token", &VitConfig::class_token},
     {"distillation_token", &VitConfig::distillation_token},
     {"qkv_bias", &VitConfig::qkv_bias},
     {"layer_scale", &VitConfig::layer_scale},
     {"norm", &VitConfig::norm},
     {"fc_norm", &VitConfig::fc_norm}}};

inline void set_vit(const Settings& settings, VitConfig& config) {
  set_length(settings, "dim", config.dim);
  set_length(settings, "num_heads", config.heads);
  set_length(settings, "reg_tokens", config.register_tokens);
  Index depth = 0;
  set_length(settings, "depth", depth);
  if (depth > 1024) throw ValueError("a depth of " + std::to_string(depth) + " blocks is beyond reason");
  const auto widths = settings.find("hidden_widths");
  if (depth == 0 && widths) depth = static_cast<Index>(widths->whole_numbers().size());
  config.hidden_widths.assign(static_cast<std::size_t>(depth), 4 * config.dim);
  if (const auto setting = settings.find("no_embed_class"))
    config.position_covers_prefix = !setting->boolean();
  if (const auto setting = settings.find("global_pool")) {
    bool known = false;
    for (const Pooling pooling : {Pooling::class_token, Pooling::average, Pooling::class_token_and_average}) {
      if (setting->value != text_of(pooling)) continue;
      config.pooling = pooling;
      known = true;
    }
    if (!known) setting->refuse(quote(setting->value) + " is none of token, avg and token+avg");
  }
}

}  // namespace checkpoint_detail

/// A checkpoint with everything but weights, from a JSON object of kVitKeys and the flags class_token,
/// distillation_token, qkv_bias, layer_scale, norm and fc_norm; `options` go before the file. What neither
/// gives is VitConfig's and Preprocessing's default, hidden widths four times dim. Throws FileError or
/// ValueError, naming the key, for what is unknown, malformed or impossible.
inline VitCheckpoint load_vit_config(const std::filesystem::path& path,
                                     const std::map<std::string, std::string>& options = {}) {
  using namespace checkpoint_detail;
  return load_config<VisionTransformer<float>, VitConfig>(path, options, kVitKeys, kVitFlags,
                                                          "Vision Transformer", &set_vit);
}

}  // namespace vbp::inline VBP_ABI
