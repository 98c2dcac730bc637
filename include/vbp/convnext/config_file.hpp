#pragma once
/// The shape of a ConvNeXt that has no weights yet, from a JSON file.

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "vbp/convnext/checkpoint.hpp"
#include "vbp/convnext/config.hpp"
#include "vbp/core/types.hpp"
#include "vbp/model/config_file.hpp"

namespace vbp {

namespace checkpoint_detail {

inline constexpr std::array<Flag<ConvNextConfig>, 1> kConvNextFlags{
    {{"layer_scale", &ConvNextConfig::layer_scale}}};

inline void set_convnext(const Settings& settings, ConvNextConfig& config) {
  if (const auto setting = settings.find("dims")) config.dims = setting->whole_numbers();
  if (const auto setting = settings.find("depths")) {
    config.depths = setting->whole_numbers();
    const bool any_deep =
        std::any_of(config.depths.begin(), config.depths.end(), [](Index depth) { return depth > 1024; });
    if (any_deep) setting->refuse(quote(setting->value) + " is beyond reason");
  }
  for (std::size_t stage = 0; stage < std::min(config.dims.size(), config.depths.size()); ++stage) {
    config.hidden_widths.insert(config.hidden_widths.end(), static_cast<std::size_t>(config.depths[stage]),
                                4 * config.dims[stage]);
  }
  config.head_epsilon = config.epsilon;
  if (const auto setting = settings.find("head_norm_eps")) config.head_epsilon = setting->number();
  if (const auto setting = settings.find("global_pool"); setting && setting->value != "avg") {
    setting->refuse(quote(setting->value) + " is not supported, only avg is");
  }
}

}  // namespace checkpoint_detail

/// A checkpoint with everything but weights, from a JSON object of kConvNextKeys and the flag layer_scale;
/// `options` go before the file. What neither gives is ConvNextConfig's and Preprocessing's default, hidden
/// widths four times the stage's width. Throws FileError or ValueError, naming the key, for what is unknown,
/// malformed or impossible.
inline ConvNextCheckpoint load_convnext_config(const std::filesystem::path& path,
                                               const std::map<std::string, std::string>& options = {}) {
  using namespace checkpoint_detail;
  return load_config<ConvNext<float>, ConvNextConfig>(path, options, kConvNextKeys, kConvNextFlags,
                                                      "ConvNeXt", &set_convnext);
}

}  // namespace vbp
