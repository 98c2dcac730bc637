#pragma once
/// The shape of a network that has no weights yet, from a JSON file: what the families share.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

/// What a tensor says in a checkpoint by being there, and a configuration has to say itself.
template <class Config>
using Flag = std::pair<const char*, bool Config::*>;

inline SettingTexts config_texts(const std::filesystem::path& path) {
  const auto json = read_json_object(path);
  if (!json) throw FileError(path.string(), "no such file");
  SettingTexts texts;
  for (const auto& [key, value] : json->items()) take(texts, key, value);
  return texts;
}

inline void set_length(const Settings& settings, const char* key, Index& value) {
  if (const auto setting = settings.find(key)) value = setting->whole_number();
}

/// One width a block; a single one is that of all.
inline void set_widths(const Settings& settings, std::vector<Index>& widths) {
  const auto setting = settings.find("hidden_widths");
  if (!setting) return;
  std::vector<Index> given = setting->whole_numbers();
  if (given.size() == 1) given.resize(widths.size(), given[0]);
  if (given.size() != widths.size()) {
    setting->refuse(std::to_string(given.size()) + " widths for " + std::to_string(widths.size()) +
                    " blocks");
  }
  widths = std::move(given);
}

/// dims, depths, the widths that follow from them, and the one pooling that networks of stages have.
template <class Config>
void set_stages(const Settings& settings, Config& config) {
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
  if (const auto setting = settings.find("global_pool"); setting && setting->value != "avg") {
    setting->refuse(quote(setting->value) + " is not supported, only avg is");
  }
}

inline void set_activation(const Settings& settings, Activation& activation) {
  const auto setting = settings.find("activation");
  if (!setting) return;
  const std::string name = activation_name(setting->value);
  if (name != "gelu" && name != "gelu_tanh") setting->refuse(quote(setting->value) + " is not supported");
  activation = name == "gelu" ? Activation::gelu : Activation::gelu_tanh;
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

/// A checkpoint with everything but weights, from a JSON object of `keys` and `flags`; `options` go before
/// the file. set_network(settings, config) takes over what families say in different ways. Throws as
/// load_vit_config says.
template <class Model, class Config, class SetNetwork>
Checkpoint<Model> load_config(const std::filesystem::path& path, const SettingTexts& options,
                              std::span<const std::string_view> keys, std::span<const Flag<Config>> flags,
                              const std::string& family, SetNetwork&& set_network) {
  const SettingTexts texts = config_texts(path);
  for (const SettingTexts* source : {&texts, &options}) {
    for (const auto& [key, value] : *source) {
      const bool known = std::find(keys.begin(), keys.end(), key) != keys.end() ||
                         std::any_of(flags.begin(), flags.end(),
                                     [&name = key](const Flag<Config>& flag) { return flag.first == name; });
      if (known) continue;
      throw FileError(path.string(), "there is no configuration value " + quote(key) + " of a " + family);
    }
  }
  Settings settings;
  settings.add_source("option", path.string(), options);
  settings.add_source(path.filename().string(), path.string(), texts);
  Checkpoint<Model> checkpoint;
  checkpoint.path = path.string();
  Config& config = checkpoint.model.config;
  if (const auto setting = settings.find("architecture")) config.architecture = setting->value;
  set_length(settings, "image_size", config.image_size);
  set_length(settings, "patch_size", config.patch_size);
  set_length(settings, "channels", config.channels);
  set_length(settings, "num_classes", config.classes);
  if (const auto setting = settings.find("layer_norm_eps")) config.epsilon = setting->number();
  set_activation(settings, config.activation);
  for (const auto& [key, flag] : flags) {
    if (const auto setting = settings.find(key)) config.*flag = setting->boolean();
  }
  set_network(settings, config);
  set_widths(settings, config.hidden_widths);
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

}  // namespace checkpoint_detail

/// The keys of a configuration file and of the options before it: by them a family is told from another.
/// Throws FileError if the file is no JSON object.
inline std::set<std::string> config_keys(const std::filesystem::path& path,
                                         const std::map<std::string, std::string>& options) {
  std::set<std::string> keys;
  for (const auto& [key, value] : checkpoint_detail::config_texts(path)) keys.insert(key);
  for (const auto& [key, value] : options) keys.insert(key);
  return keys;
}

}  // namespace vbp::inline VBP_ABI
