#pragma once
/// The shape of a ConvNeXt that has no weights yet, from a JSON file.

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/config_file.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/config.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

inline constexpr std::array<Flag<ConvNextConfig>, 1> kConvNextFlags{
    {{"layer_scale", &ConvNextConfig::layer_scale}}};

inline void set_convnext(const Settings& settings, ConvNextConfig& config) {
  set_stages(settings, config);
  config.head_epsilon = config.epsilon;
  if (const auto setting = settings.find("head_norm_eps")) config.head_epsilon = setting->number();
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

}  // namespace vbp::inline VBP_ABI
