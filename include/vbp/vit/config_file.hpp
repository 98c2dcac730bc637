#pragma once
/// The shape of a network that has no weights yet, from a JSON file.

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/vit/checkpoint.hpp"
#include "vbp/vit/checkpoint_config.hpp"
#include "vbp/vit/config.hpp"

namespace vbp {

namespace checkpoint_detail {

/// What tensors say in a checkpoint and a configuration has to say itself.
using Part = std::pair<const char*, bool VitConfig::*>;
inline constexpr std::array<Part, 6> kParts{{{"class_token", &VitConfig::class_token},
                                             {"distillation_token", &VitConfig::distillation_token},
                                             {"qkv_bias", &VitConfig::qkv_bias},
                                             {"layer_scale", &VitConfig::layer_scale},
                                             {"norm", &VitConfig::norm},
                                             {"fc_norm", &VitConfig::fc_norm}}};

inline void set_lengths(const Settings& settings, VitConfig& config) {
  const auto length = [&](const char* key, Index& value) {
    if (const auto setting = settings.find(key)) value = setting->whole_number();
  };
  length("image_size", config.image_size);
  length("patch_size", config.patch_size);
  length("channels", config.channels);
  length("dim", config.dim);
  length("num_heads", config.heads);
  length("num_classes", config.classes);
  length("reg_tokens", config.register_tokens);
  Index depth = 0;
  length("depth", depth);
  if (depth > 1024) throw ValueError("a depth of " + std::to_string(depth) + " blocks is beyond reason");
  config.hidden_widths.assign(static_cast<std::size_t>(depth), 4 * config.dim);
  if (const auto setting = settings.find("hidden_widths")) {
    std::vector<Index> widths = setting->whole_numbers();
    if (widths.size() == 1 && depth > 0) widths.resize(static_cast<std::size_t>(depth), widths[0]);
    if (depth > 0 && static_cast<Index>(widths.size()) != depth) {
      setting->refuse(std::to_string(widths.size()) + " widths for a depth of " + std::to_string(depth));
    }
    config.hidden_widths = std::move(widths);
  }
}

inline void set_choices(const Settings& settings, VitConfig& config) {
  if (const auto setting = settings.find("architecture")) config.architecture = setting->value;
  if (const auto setting = settings.find("layer_norm_eps")) config.epsilon = setting->number();
  if (const auto setting = settings.find("no_embed_class"))
    config.position_covers_prefix = !setting->boolean();
  for (const auto& [key, part] : kParts) {
    if (const auto setting = settings.find(key)) config.*part = setting->boolean();
  }
  if (const auto setting = settings.find("activation")) {
    const std::string name = activation_name(setting->value);
    if (name != "gelu" && name != "gelu_tanh") setting->refuse(quote(setting->value) + " is not supported");
    config.activation = name == "gelu" ? Activation::gelu : Activation::gelu_tanh;
  }
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

inline void set_preprocessing(const Settings& settings, io::Preprocessing& preprocessing) {
  if (const auto setting = settings.find("crop_pct")) preprocessing.crop_pct = setting->number();
  if (const auto setting = settings.find("crop_mode")) {
    preprocessing.crop_mode = io::parse_crop_mode(setting->value);
  }
  if (const auto setting = settings.find("interpolation")) {
    preprocessing.interpolation = io::parse_interpolation(setting->value);
  }
  for (const auto& [key, values] :
       {std::pair("mean", &preprocessing.mean), std::pair("std", &preprocessing.std)}) {
    const auto setting = settings.find(key);
    if (!setting) continue;
    std::vector<double> given = setting->numbers();
    if (given.size() == 1) given.resize(3, given[0]);
    if (given.size() != 3) setting->refuse(quote(setting->value) + " is not one value a channel");
    std::copy(given.begin(), given.end(), values->begin());
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
  const auto json = read_json_object(path);
  if (!json) throw FileError(path.string(), "no such file");
  SettingTexts texts;
  for (const auto& [key, value] : json->items()) take(texts, key, value);
  for (const SettingTexts* source : {&std::as_const(texts), &options}) {
    for (const auto& [key, value] : *source) {
      const bool known = std::find(kVitKeys.begin(), kVitKeys.end(), key) != kVitKeys.end() ||
                         std::any_of(kParts.begin(), kParts.end(),
                                     [&name = key](const Part& part) { return part.first == name; });
      if (known) continue;
      throw FileError(path.string(),
                      "there is no configuration value " + quote(key) +
                          " of a Vision Transformer, and training exists for no other family so far");
    }
  }
  Settings settings;
  settings.add_source("option", path.string(), options);
  settings.add_source(path.filename().string(), path.string(), texts);
  VitCheckpoint checkpoint;
  checkpoint.path = path.string();
  VitConfig& config = checkpoint.model.config;
  set_lengths(settings, config);
  set_choices(settings, config);
  set_preprocessing(settings, checkpoint.preprocessing);
  checkpoint.preprocessing.image_size = config.image_size;
  if (const auto setting = settings.find("class_names")) {
    checkpoint.class_names = setting->strings();
    const auto names = static_cast<Index>(checkpoint.class_names.size());
    if (config.classes == 0) config.classes = names;
    if (config.classes != names) {
      setting->refuse(std::to_string(names) + " names for " + std::to_string(config.classes) + " classes");
    }
  }
  try {
    config.validate();
    io::validate(checkpoint.preprocessing);
  } catch (const ValueError& error) {
    throw FileError(path.string(), error.what());
  }
  return checkpoint;
}

}  // namespace vbp
