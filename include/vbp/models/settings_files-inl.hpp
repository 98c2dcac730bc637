#pragma once
/// Bodies of settings_files.hpp.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/settings_files.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

// Json is nlohmann::json everywhere below. As a template parameter, it keeps the library's many overloads
// from being compiled where the header is read but no function called.

/// A JSON object out of a file, or nothing where there is no such file. Throws FileError if it cannot be read
/// or is no JSON object.
template <class Json>
std::optional<Json> read_json_object(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  // Twenty-one thousand class names fill a tenth of this; it bounds what a hostile file can make us read.
  constexpr std::uintmax_t kLargest = 16 << 20;
  if (!std::filesystem::is_regular_file(path, error)) throw FileError(path.string(), "is no regular file");
  if (std::filesystem::file_size(path, error) > kLargest || error) {
    throw FileError(path.string(), "is too large for a configuration or cannot be read");
  }
  std::ifstream stream(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream) throw FileError(path.string(), "cannot be read");
  // No configuration nests deeply, and what walks the values recurses.
  constexpr int kDeepest = 32;
  const auto check_depth = [&](int depth, typename Json::parse_event_t, const Json&) {
    if (depth > kDeepest) throw FileError(path.string(), "nests too deeply for a configuration");
    return true;
  };
  Json json = Json::parse(text, check_depth, false);
  if (!json.is_object()) throw FileError(path.string(), "is no JSON object");
  return json;
}

/// The member of an object, or null for none and for anything but an object.
template <class Json>
const Json& member(const Json& object, const std::string& key) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

/// Adds a value if there is one and the key has none yet: strings plain, everything else as JSON.
template <class Json>
void add_setting(SettingTexts& texts, const std::string& key, const Json& value) {
  if (value.is_null() || texts.contains(key)) return;
  texts[key] = value.is_string() ? value.template get<std::string>()
                                 : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Adds a side length, which may be written as [height, width]. Unequal sides are kept as written, so that
/// whoever reads them as one number is told what the file says.
template <class Json>
void add_side(SettingTexts& texts, const std::string& key, const Json& value) {
  const bool square = value.is_array() && value.size() == 2 && value[0] == value[1];
  add_setting(texts, key, square ? value[0] : value);
}

template <class Json>
SettingTexts timm_settings(const Json& config) {
  const Json& arguments = member(config, "model_args");
  // Older releases of timm kept these values on the top level.
  const Json& pretrained = config.contains("pretrained_cfg") ? config["pretrained_cfg"] : config;
  SettingTexts texts;
  add_setting(texts, "architecture", member(config, "architecture"));
  const Json& tag = member(pretrained, "tag");
  if (texts.contains("architecture") && tag.is_string() && !tag.template get<std::string>().empty() &&
      texts["architecture"].find('.') == std::string::npos) {
    texts["architecture"] += "." + tag.template get<std::string>();
  }
  for (const char* key : {"global_pool", "num_classes"}) {
    add_setting(texts, key, member(config, key));
    add_setting(texts, key, member(arguments, key));
  }
  for (const auto& [key, theirs] :
       {std::pair("dim", "embed_dim"), std::pair("depth", "depth"), std::pair("num_heads", "num_heads"),
        std::pair("channels", "in_chans"), std::pair("reg_tokens", "reg_tokens"),
        std::pair("no_embed_class", "no_embed_class"), std::pair("layer_norm_eps", "norm_eps")}) {
    add_setting(texts, key, member(arguments, theirs));
  }
  if (const auto& activation = member(arguments, "act_layer"); activation.is_string()) {
    texts["activation"] = activation_name(activation.template get<std::string>());
  }
  add_side(texts, "patch_size", member(arguments, "patch_size"));
  add_side(texts, "image_size", member(arguments, "img_size"));
  if (const auto& size = member(pretrained, "input_size"); size.is_array() && size.size() == 3) {
    add_side(texts, "image_size", Json::array({size[1], size[2]}));
  }
  for (const char* key : {"mean", "std", "crop_pct", "crop_mode", "interpolation"}) {
    add_setting(texts, key, member(pretrained, key));
  }
  for (const Json* place : {&config, &pretrained}) {
    if (const auto& labels = member(*place, "label_names"); labels.is_array()) {
      add_setting(texts, "class_names", labels);
    }
  }
  return texts;
}

template <class Json>
SettingTexts hugging_face_settings(const std::string& path, const Json& config, bool has_head) {
  SettingTexts texts;
  if (const auto& names = member(config, "architectures"); names.is_array() && !names.empty()) {
    add_setting(texts, "architecture", names[0]);
  }
  add_setting(texts, "architecture", member(config, "model_type"));
  for (const auto& [key, theirs] :
       {std::pair("dim", "hidden_size"), std::pair("depth", "num_hidden_layers"),
        std::pair("num_heads", "num_attention_heads"), std::pair("hidden_widths", "intermediate_size"),
        std::pair("layer_norm_eps", "layer_norm_eps"), std::pair("channels", "num_channels"),
        std::pair("reg_tokens", "num_register_tokens")}) {
    add_setting(texts, key, member(config, theirs));
  }
  if (const auto& activation = member(config, "hidden_act"); activation.is_string()) {
    texts["activation"] = activation_name(activation.template get<std::string>());
  }
  add_side(texts, "patch_size", member(config, "patch_size"));
  add_side(texts, "image_size", member(config, "image_size"));
  const Json& labels = member(config, "id2label");
  if (!has_head || !labels.is_object() || labels.empty()) return texts;
  Json names = Json::array();
  for (std::size_t id = 0; id < labels.size(); ++id) {
    const Json& name = member(labels, std::to_string(id));
    if (!name.is_string()) throw FileError(path, "id2label names no class " + std::to_string(id));
    names.push_back(name);
  }
  add_setting(texts, "num_classes", Json(names.size()));
  add_setting(texts, "class_names", names);
  return texts;
}

/// The side of a "size" or "crop_size" of Hugging Face's preprocessing: a number, {height, width} or
/// {shortest_edge}; nothing where it is neither.
template <class Json>
std::optional<Index> side_of(const Json& size) {
  const Json* number = &size;
  if (size.is_object()) {
    number = &member(size, size.contains("shortest_edge") ? "shortest_edge" : "height");
    if (!size.contains("shortest_edge") && member(size, "width") != *number) return std::nullopt;
  }
  if (!number->is_number_integer() || *number < 1 || *number > 16384) return std::nullopt;
  return number->template get<Index>();
}

template <class Json>
bool preprocessor_flag(const std::string& path, const Json& config, const char* key, bool otherwise) {
  const Json& value = member(config, key);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) throw FileError(path, std::string(key) + " is neither true nor false");
  return value.template get<bool>();
}

/// Adds mean and std of intensities from 0 to 1.
template <class Json>
void add_normalisation(SettingTexts& texts, const std::string& path, const Json& config) {
  if (preprocessor_flag(path, config, "do_normalize", true)) {
    const Json& given = member(config, "rescale_factor");
    if (!given.is_null() && !given.is_number()) throw FileError(path, "rescale_factor is no number");
    const double factor = !preprocessor_flag(path, config, "do_rescale", true) ? 1.0
                          : given.is_null()                                    ? 1.0 / 255.0
                                                                               : given.template get<double>();
    const double relative = 255.0 * factor;
    if (!(relative > 0.0)) throw FileError(path, "rescale_factor is not positive");
    for (const auto& [key, theirs] : {std::pair("mean", "image_mean"), std::pair("std", "image_std")}) {
      Json values = member(config, theirs);
      // 1/255 written with some decimals counts as 1/255.
      if (std::abs(relative - 1.0) > 1e-6 && values.is_array()) {
        for (Json& value : values) {
          if (value.is_number()) value = value.template get<double>() / relative;
        }
      }
      add_setting(texts, key, values);
    }
  } else {
    add_setting(texts, "mean", Json::array({0.0, 0.0, 0.0}));
    add_setting(texts, "std", Json::array({1.0, 1.0, 1.0}));
  }
}

/// Adds image size and crop: ours are a resize to floor(image_size / crop_pct) and a crop to image_size.
template <class Json>
void add_resize(SettingTexts& texts, const std::string& path, const Json& config) {
  const Json& size = member(config, "size");
  if (size.is_null()) return;
  if (!preprocessor_flag(path, config, "do_resize", true))
    throw FileError(path, "do_resize is false, but images come in all sizes");
  const std::optional<Index> resized = side_of(size);
  if (!resized) throw FileError(path, "size names no square");
  // A plain number is the shorter side for BiT's and CLIP's processors, both sides for ViT's and DeiT's.
  std::string processor;
  for (const char* key : {"image_processor_type", "feature_extractor_type"}) {
    if (const auto& type = member(config, key); processor.empty() && type.is_string()) {
      processor = type.template get<std::string>();
    }
  }
  if (processor.starts_with("ConvNext")) {
    // Its crop is a share, and from 384 up there is none.
    const bool large = *resized >= 384;
    texts["image_size"] = std::to_string(*resized);
    texts["crop_mode"] = large ? "squash" : "center";
    texts["crop_pct"] = large ? "1.0" : "0.875";
    const Json& share = member(config, "crop_pct");
    if (!large && !share.is_null()) texts["crop_pct"] = share.dump();
    return;
  }
  std::optional<Index> cropped = resized;
  // Without do_center_crop there is a crop if the configuration gives its size.
  if (preprocessor_flag(path, config, "do_center_crop", config.contains("crop_size"))) {
    cropped = side_of(member(config, "crop_size"));
    if (!cropped) throw FileError(path, "crop_size names no square");
  }
  if (*cropped > *resized) throw FileError(path, "crop_size is larger than size");
  const bool shorter = size.is_object() ? size.contains("shortest_edge")
                                        : processor.starts_with("Bit") || processor.starts_with("CLIP");
  texts["crop_mode"] = shorter ? "center" : "squash";
  texts["image_size"] = std::to_string(*cropped);
  // The image is resized to floor(image_size / crop_pct); the quotient must not fall below by rounding.
  double crop_pct = static_cast<double>(*cropped) / static_cast<double>(*resized);
  while (std::floor(static_cast<double>(*cropped) / crop_pct) < static_cast<double>(*resized)) {
    crop_pct = std::nextafter(crop_pct, 0.0);
  }
  texts["crop_pct"] = text_of(crop_pct);
}

template <class Json>
SettingTexts settings_of_preprocessor(const std::string& path, const Json& config) {
  SettingTexts texts;
  add_normalisation(texts, path, config);
  if (const auto& filter = member(config, "resample"); !filter.is_null()) {
    // PIL's numbers.
    constexpr std::array<const char*, 6> kFilters{"nearest", "lanczos", "bilinear",
                                                  "bicubic", "box",     "hamming"};
    const bool known = filter.is_number_integer() && filter >= 0 && filter < kFilters.size();
    texts["interpolation"] = known ? kFilters[filter.template get<std::size_t>()] : filter.dump();
  }
  add_resize(texts, path, config);
  return texts;
}

template <class Json>
std::optional<SettingTexts> model_settings_of(const std::filesystem::path& path, bool has_head) {
  const auto config = read_json_object<Json>(path);
  if (!config) return std::nullopt;
  const bool timm = config->contains("architecture") || config->contains("pretrained_cfg");
  return timm ? timm_settings(*config) : hugging_face_settings(path.string(), *config, has_head);
}

template <class Json>
std::optional<SettingTexts> preprocessor_settings_of(const std::filesystem::path& path) {
  const auto config = read_json_object<Json>(path);
  if (!config) return std::nullopt;
  return settings_of_preprocessor(path.string(), *config);
}

template <class Json>
SettingTexts configuration_texts_of(const std::filesystem::path& path) {
  const auto json = read_json_object<Json>(path);
  if (!json) throw FileError(path.string(), "no such file");
  SettingTexts texts;
  for (const auto& [key, value] : json->items()) add_setting(texts, key, value);
  return texts;
}

VBP_FUNCTION std::optional<SettingTexts> model_settings(const std::filesystem::path& path, bool has_head) {
  return model_settings_of<nlohmann::json>(path, has_head);
}

VBP_FUNCTION std::optional<SettingTexts> preprocessor_settings(const std::filesystem::path& path) {
  return preprocessor_settings_of<nlohmann::json>(path);
}

VBP_FUNCTION SettingTexts configuration_texts(const std::filesystem::path& path) {
  return configuration_texts_of<nlohmann::json>(path);
}

}  // namespace checkpoint_detail

VBP_FUNCTION std::set<std::string> config_keys(const std::filesystem::path& path,
                                               const SettingTexts& options) {
  std::set<std::string> keys;
  for (const auto& [key, value] : checkpoint_detail::configuration_texts(path)) keys.insert(key);
  for (const auto& [key, value] : options) keys.insert(key);
  return keys;
}

}  // namespace vbp::inline VBP_ABI
