#pragma once
/// The shape of a Swin Transformer that has no weights yet, from a JSON file.

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/config_file.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/config.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

inline constexpr std::array<Flag<SwinConfig>, 2> kSwinFlags{
    {{"qkv_bias", &SwinConfig::qkv_bias}, {"pad_before_shift", &SwinConfig::pad_before_shift}}};

inline void set_swin(const Settings& settings, SwinConfig& config) {
  set_stages(settings, config);
  if (const auto setting = settings.find("num_heads")) config.heads = setting->whole_numbers();
  if (const auto setting = settings.find("window_size")) config.windows = setting->whole_numbers();
  if (config.windows.size() == 1) config.windows.resize(config.dims.size(), config.windows[0]);
  config.embedding_epsilon = config.epsilon;
  if (const auto setting = settings.find("embed_norm_eps")) config.embedding_epsilon = setting->number();
}

}  // namespace checkpoint_detail

/// A checkpoint with everything but weights, from a JSON object of kSwinKeys and the flag qkv_bias; `options`
/// go before the file. A single window_size is that of all stages. What neither gives is SwinConfig's and
/// Preprocessing's default, hidden widths four times the stage's width. Throws FileError or ValueError,
/// naming the key, for what is unknown, malformed or impossible.
inline SwinCheckpoint load_swin_config(const std::filesystem::path& path,
                                       const std::map<std::string, std::string>& options = {}) {
  using namespace checkpoint_detail;
  return load_config<SwinTransformer<float>, SwinConfig>(path, options, kSwinKeys, kSwinFlags,
                                                         "Swin Transformer", &set_swin);
}

}  // namespace vbp::inline VBP_ABI
