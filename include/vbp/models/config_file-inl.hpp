#pragma once
/// The shape of a network that has no weights yet, from a JSON file.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/settings_files.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

template <class Value>
void set_length(const Settings& settings, const char* key, Value& value) {
  if (const auto setting = settings.find(key)) value = setting->whole_number();
}

/// Sets dims, depths, and the widths that follow from them.
template <StageConfig Config>
void set_stages(const Settings& settings, Config& config) {
  if (const auto setting = settings.find("dims")) config.dims = setting->whole_numbers();
  if (const auto setting = settings.find("depths")) {
    config.depths = setting->whole_numbers();
    const bool too_deep =
        std::any_of(config.depths.begin(), config.depths.end(), [](Index depth) { return depth > 1024; });
    if (too_deep) setting->refuse(quote(setting->value) + " is beyond reason");
  }
  for (std::size_t stage = 0; stage < std::min(config.dims.size(), config.depths.size()); ++stage) {
    config.hidden_widths.insert(config.hidden_widths.end(), static_cast<std::size_t>(config.depths[stage]),
                                4 * config.dims[stage]);
  }
  require_average_pooling(settings.find("global_pool"));
}

/// Sets hidden widths that are given; there are as many blocks already as `widths` has elements.
template <class Widths>
void set_widths(const Settings& settings, Widths& widths) {
  const auto setting = settings.find("hidden_widths");
  if (!setting) return;
  Widths given = widths_of(*setting, widths.size());
  if (given.size() != widths.size()) {
    setting->refuse(std::to_string(given.size()) + " widths for " + std::to_string(widths.size()) +
                    " blocks");
  }
  widths = given;
}

template <class Preprocessing>
void set_preprocessing(const Settings& settings, Preprocessing& preprocessing) {
  if (const auto setting = settings.find("crop_pct")) preprocessing.crop_pct = setting->number();
  if (const auto setting = settings.find("crop_mode")) {
    preprocessing.crop_mode = io::parse_crop_mode(setting->value);
  }
  if (const auto setting = settings.find("interpolation")) {
    preprocessing.interpolation = io::parse_interpolation(setting->value);
  }
  const auto set_channels = [&](const char* key, auto& values) {
    const auto setting = settings.find(key);
    if (!setting) return;
    std::vector<double> given = setting->numbers();
    if (given.size() == 1) given.resize(3, given[0]);
    if (given.size() != 3) setting->refuse(quote(setting->value) + " is not one value a channel");
    std::copy(given.begin(), given.end(), values.begin());
  };
  set_channels("mean", preprocessing.mean);
  set_channels("std", preprocessing.std);
}

/// Sets class names; without a number of classes theirs is it.
template <class Model>
void set_class_names(const Settings& settings, Checkpoint<Model>& checkpoint) {
  const auto setting = settings.find("class_names");
  if (!setting) return;
  Index& classes = checkpoint.model.config.classes;
  checkpoint.class_names = setting->strings();
  const auto names = static_cast<Index>(checkpoint.class_names.size());
  if (classes == 0) classes = names;
  if (classes != names) {
    setting->refuse(std::to_string(names) + " names for " + std::to_string(classes) + " classes");
  }
}

/// Throws FileError unless the format has every key as a setting or a flag.
template <class Format>
void require_known_keys(const std::filesystem::path& path, const SettingTexts& texts) {
  for (const auto& [key, value] : texts) {
    const bool known = std::find(Format::kKeys.begin(), Format::kKeys.end(), key) != Format::kKeys.end() ||
                       std::any_of(Format::kFlags.begin(), Format::kFlags.end(),
                                   [&name = key](const auto& flag) { return flag.first == name; });
    if (known) continue;
    throw FileError(path.string(), "there is no configuration value " + quote(key) + " of a " +
                                       std::string(Format::Names::Config::kFamily));
  }
}

}  // namespace checkpoint_detail

template <class Model>
Checkpoint<Model> load_config(const std::filesystem::path& path, const SettingTexts& options) {
  using namespace checkpoint_detail;
  using Format = CheckpointFormat<Model>;
  const SettingTexts texts = configuration_texts(path);
  require_known_keys<Format>(path, texts);
  require_known_keys<Format>(path, options);
  Settings settings;
  settings.add_source("option", path.string(), options);
  settings.add_source(path.filename().string(), path.string(), texts);
  Checkpoint<Model> checkpoint;
  checkpoint.path = path.string();
  auto& config = checkpoint.model.config;
  if (const auto setting = settings.find("architecture")) config.architecture = setting->value;
  set_length(settings, "image_size", config.image_size);
  set_length(settings, "patch_size", config.patch_size);
  set_length(settings, "channels", config.channels);
  set_length(settings, "num_classes", config.classes);
  if (const auto setting = settings.find("layer_norm_eps")) config.epsilon = setting->number();
  if (const auto setting = settings.find("activation")) config.activation = setting->activation();
  for (const auto& [key, flag] : Format::kFlags) {
    if (const auto setting = settings.find(key)) config.*flag = setting->boolean();
  }
  Format::set_network(settings, config);
  set_widths(settings, config.hidden_widths);
  set_preprocessing(settings, checkpoint.preprocessing);
  checkpoint.preprocessing.image_size = config.image_size;
  set_class_names(settings, checkpoint);
  with_file(path.string(), [&] {
    config.validate();
    io::validate(checkpoint.preprocessing);
  });
  return checkpoint;
}

}  // namespace vbp::inline VBP_ABI
