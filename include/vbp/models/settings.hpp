#pragma once
/// Where the values of a checkpoint's configuration come from: options, metadata, configuration files beside
/// it, and for well-known architectures their name.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// One value of a checkpoint's configuration and where it was found. `value` is text as in the header's
/// metadata: names plain, everything else JSON. `origin` is "option", "metadata", "config.json",
/// "preprocessor_config.json", "shapes", "architecture name", or which library's default it is.
struct ConfigValue {
  std::string key;
  std::string value;
  std::string origin;

  bool operator==(const ConfigValue&) const = default;
};

namespace checkpoint_detail {

/// The text as a JSON string, so that an error message stays on one line whatever a file holds.
inline std::string quote(const std::string& text) {
  constexpr std::size_t kLongest = 60;
  const bool shorten = text.size() > kLongest;
  const nlohmann::json json = shorten ? text.substr(0, kLongest) + "..." : text;
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// A value as a source gave it; `path` is the file to blame.
struct Setting {
  std::string key;
  std::string value;
  std::string origin;
  std::string path;

  /// Throws ValueError for an option and FileError for a value out of a file.
  [[noreturn]] void refuse(const std::string& reason) const {
    if (origin == "option") throw ValueError("option " + key + ": " + reason);
    throw FileError(path, key + (origin == "metadata" ? " in the metadata: " : ": ") + reason);
  }

  nlohmann::json json() const {
    nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
    if (parsed.is_discarded()) refuse(quote(value) + " is no valid value");
    return parsed;
  }

  /// A JSON array; the brackets may be left out, as one does on a command line.
  nlohmann::json list() const {
    nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
    if (!parsed.is_array()) parsed = nlohmann::json::parse("[" + value + "]", nullptr, false);
    if (!parsed.is_array() || parsed.empty()) refuse(quote(value) + " is no list");
    return parsed;
  }

  Index whole_number() const { return whole_number(json()); }

  Index whole_number(const nlohmann::json& number) const {
    // Beyond any size of a network, and small enough that products of two do not overflow.
    constexpr Index kLargest = 1 << 30;
    if (!number.is_number_integer() || number < 0 || number > kLargest) {
      refuse(quote(value) + " is not a whole number");
    }
    return number.get<Index>();
  }

  double number() const {
    const nlohmann::json parsed = json();
    if (!parsed.is_number()) refuse(quote(value) + " is not a number");
    return parsed.get<double>();
  }

  bool boolean() const {
    const nlohmann::json parsed = json();
    if (!parsed.is_boolean()) refuse(quote(value) + " is neither true nor false");
    return parsed.get<bool>();
  }

  std::vector<double> numbers() const {
    std::vector<double> result;
    for (const auto& entry : list()) {
      if (!entry.is_number()) refuse(quote(value) + " is no list of numbers");
      result.push_back(entry.get<double>());
    }
    return result;
  }

  std::vector<Index> whole_numbers() const {
    std::vector<Index> result;
    for (const auto& entry : list()) result.push_back(whole_number(entry));
    return result;
  }

  std::vector<std::string> strings() const {
    std::vector<std::string> result;
    for (const auto& entry : list()) {
      if (!entry.is_string()) refuse(quote(value) + " is no list of strings");
      result.push_back(entry.get<std::string>());
    }
    return result;
  }
};

using SettingTexts = std::map<std::string, std::string>;

/// All sources of settings; the first one that knows a key gives its value.
class Settings {
 public:
  void add_source(std::string origin, std::string path, SettingTexts texts) {
    sources_.push_back({std::move(origin), std::move(path), std::move(texts)});
  }

  std::optional<Setting> find(const std::string& key) const {
    return find_where(key, [](const std::string&) { return true; });
  }

  /// The same among the sources whose origin the predicate accepts.
  template <class Predicate>
  std::optional<Setting> find_where(const std::string& key, Predicate&& accept) const {
    for (const Source& source : sources_) {
      const auto found = source.texts.find(key);
      if (found == source.texts.end() || !accept(source.origin)) continue;
      return Setting{key, found->second, source.origin, source.path};
    }
    return std::nullopt;
  }

 private:
  struct Source {
    std::string origin;
    std::string path;
    SettingTexts texts;
  };
  std::vector<Source> sources_;
};

/// A JSON object out of a file, or nothing where there is no such file. Throws FileError if it cannot be read
/// or is no JSON object.
inline std::optional<nlohmann::json> read_json_object(const std::filesystem::path& path) {
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
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    if (depth > kDeepest) throw FileError(path.string(), "nests too deeply for a configuration");
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(text, check_depth, false);
  if (!json.is_object()) throw FileError(path.string(), "is no JSON object");
  return json;
}

/// The member of an object, or null for none and for anything but an object.
inline const nlohmann::json& member(const nlohmann::json& object, const std::string& key) {
  static const nlohmann::json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

/// Takes a value over if there is one: strings plain, everything else as JSON.
inline void take(SettingTexts& texts, const std::string& key, const nlohmann::json& value) {
  if (value.is_null() || texts.contains(key)) return;
  texts[key] = value.is_string() ? value.get<std::string>()
                                 : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Takes a side length over that may be written as [height, width]. Unequal sides stay as they are, so that
/// reading them as one number is refused with what the file says.
inline void take_side(SettingTexts& texts, const std::string& key, const nlohmann::json& value) {
  const bool square = value.is_array() && value.size() == 2 && value[0] == value[1];
  take(texts, key, square ? value[0] : value);
}

/// timm's name of an activation function, as Hugging Face calls it; unknown ones keep their name, so that
/// they are refused under it if no other source speaks.
inline std::string activation_name(const std::string& name) {
  // The last three compute the tanh approximation and differ in how they spell it.
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return "gelu_tanh";
  return name == "gelu_python" ? "gelu" : name;
}

/// The settings in a config.json of timm's.
inline SettingTexts timm_settings(const nlohmann::json& config) {
  const nlohmann::json& arguments = member(config, "model_args");
  // Older releases of timm kept these values on the top level.
  const nlohmann::json& pretrained = config.contains("pretrained_cfg") ? config["pretrained_cfg"] : config;
  SettingTexts texts;
  take(texts, "architecture", member(config, "architecture"));
  const nlohmann::json& tag = member(pretrained, "tag");
  if (texts.contains("architecture") && tag.is_string() && !tag.get<std::string>().empty() &&
      texts["architecture"].find('.') == std::string::npos) {
    texts["architecture"] += "." + tag.get<std::string>();
  }
  for (const char* key : {"global_pool", "num_classes"}) {
    take(texts, key, member(config, key));
    take(texts, key, member(arguments, key));
  }
  for (const auto& [key, theirs] :
       {std::pair("dim", "embed_dim"), std::pair("depth", "depth"), std::pair("num_heads", "num_heads"),
        std::pair("channels", "in_chans"), std::pair("reg_tokens", "reg_tokens"),
        std::pair("no_embed_class", "no_embed_class"), std::pair("layer_norm_eps", "norm_eps")}) {
    take(texts, key, member(arguments, theirs));
  }
  if (const auto& activation = member(arguments, "act_layer"); activation.is_string()) {
    texts["activation"] = activation_name(activation.get<std::string>());
  }
  take_side(texts, "patch_size", member(arguments, "patch_size"));
  take_side(texts, "image_size", member(arguments, "img_size"));
  if (const auto& size = member(pretrained, "input_size"); size.is_array() && size.size() == 3) {
    take_side(texts, "image_size", nlohmann::json::array({size[1], size[2]}));
  }
  for (const char* key : {"mean", "std", "crop_pct", "crop_mode", "interpolation"}) {
    take(texts, key, member(pretrained, key));
  }
  for (const nlohmann::json* place : {&config, &pretrained}) {
    if (const auto& labels = member(*place, "label_names"); labels.is_array()) {
      take(texts, "class_names", labels);
    }
  }
  return texts;
}

/// The settings in a config.json of Hugging Face's. A model without a head has no classes, whatever id2label
/// says (the library's default is two). Throws FileError if id2label does not number the classes.
inline SettingTexts hugging_face_settings(const std::string& path, const nlohmann::json& config,
                                          bool has_head) {
  SettingTexts texts;
  if (const auto& names = member(config, "architectures"); names.is_array() && !names.empty()) {
    take(texts, "architecture", names[0]);
  }
  take(texts, "architecture", member(config, "model_type"));
  for (const auto& [key, theirs] :
       {std::pair("dim", "hidden_size"), std::pair("depth", "num_hidden_layers"),
        std::pair("num_heads", "num_attention_heads"), std::pair("hidden_widths", "intermediate_size"),
        std::pair("layer_norm_eps", "layer_norm_eps"), std::pair("channels", "num_channels"),
        std::pair("reg_tokens", "num_register_tokens")}) {
    take(texts, key, member(config, theirs));
  }
  if (const auto& activation = member(config, "hidden_act"); activation.is_string()) {
    texts["activation"] = activation_name(activation.get<std::string>());
  }
  take_side(texts, "patch_size", member(config, "patch_size"));
  take_side(texts, "image_size", member(config, "image_size"));
  const nlohmann::json& labels = member(config, "id2label");
  if (!has_head || !labels.is_object() || labels.empty()) return texts;
  nlohmann::json names = nlohmann::json::array();
  for (std::size_t id = 0; id < labels.size(); ++id) {
    const nlohmann::json& name = member(labels, std::to_string(id));
    if (!name.is_string()) throw FileError(path, "id2label names no class " + std::to_string(id));
    names.push_back(name);
  }
  take(texts, "num_classes", names.size());
  take(texts, "class_names", names);
  return texts;
}

/// The side of a "size" or "crop_size" of Hugging Face's preprocessing: a number, {height, width} or
/// {shortest_edge}; nothing where it is neither.
inline std::optional<Index> edge(const nlohmann::json& size) {
  const nlohmann::json* number = &size;
  if (size.is_object()) {
    number = &member(size, size.contains("shortest_edge") ? "shortest_edge" : "height");
    if (!size.contains("shortest_edge") && member(size, "width") != *number) return std::nullopt;
  }
  if (!number->is_number_integer() || *number < 1 || *number > 16384) return std::nullopt;
  return number->get<Index>();
}

/// The settings in a preprocessor_config.json: ours normalises intensities of 0 to 1 after a resize by
/// crop_pct, theirs rescales by a factor and resizes to a given length. Throws FileError for what cannot be
/// said so.
inline SettingTexts preprocessor_settings(const std::string& path, const nlohmann::json& config) {
  const auto flag = [&](const char* key, bool otherwise) {
    const nlohmann::json& value = member(config, key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) throw FileError(path, std::string(key) + " is neither true nor false");
    return value.get<bool>();
  };
  SettingTexts texts;
  if (flag("do_normalize", true)) {
    const nlohmann::json& given = member(config, "rescale_factor");
    if (!given.is_null() && !given.is_number()) throw FileError(path, "rescale_factor is no number");
    const double factor = !flag("do_rescale", true) ? 1.0
                          : given.is_null()         ? 1.0 / 255.0
                                                    : given.get<double>();
    const double relative = 255.0 * factor;
    if (!(relative > 0.0)) throw FileError(path, "rescale_factor is not positive");
    for (const auto& [key, theirs] : {std::pair("mean", "image_mean"), std::pair("std", "image_std")}) {
      nlohmann::json values = member(config, theirs);
      // A factor of 1/255 in decimals is no other factor.
      if (std::abs(relative - 1.0) > 1e-6 && values.is_array()) {
        for (nlohmann::json& value : values) {
          if (value.is_number()) value = value.get<double>() / relative;
        }
      }
      take(texts, key, values);
    }
  } else {
    take(texts, "mean", nlohmann::json::array({0.0, 0.0, 0.0}));
    take(texts, "std", nlohmann::json::array({1.0, 1.0, 1.0}));
  }
  if (const auto& filter = member(config, "resample"); !filter.is_null()) {
    // PIL's numbers.
    constexpr std::array<const char*, 6> kFilters{"nearest", "lanczos", "bilinear",
                                                  "bicubic", "box",     "hamming"};
    const bool known = filter.is_number_integer() && filter >= 0 && filter < kFilters.size();
    texts["interpolation"] = known ? kFilters[filter.get<std::size_t>()] : filter.dump();
  }
  const nlohmann::json& size = member(config, "size");
  if (size.is_null()) return texts;
  if (!flag("do_resize", true)) throw FileError(path, "do_resize is false, but images come in all sizes");
  const std::optional<Index> resized = edge(size);
  if (!resized) throw FileError(path, "size names no square");
  // A plain number is the shorter side for BiT's and CLIP's processors, both sides for ViT's and DeiT's.
  std::string processor;
  for (const char* key : {"image_processor_type", "feature_extractor_type"}) {
    if (const auto& type = member(config, key); processor.empty() && type.is_string()) {
      processor = type.get<std::string>();
    }
  }
  if (processor.starts_with("ConvNext")) {
    // Its crop is a share, and from 384 up there is none.
    const bool large = *resized >= 384;
    texts["image_size"] = std::to_string(*resized);
    texts["crop_mode"] = large ? "squash" : "center";
    texts["crop_pct"] = large ? "1.0" : "0.875";
    if (const auto& share = member(config, "crop_pct"); !large && !share.is_null())
      texts["crop_pct"] = share.dump();
    return texts;
  }
  std::optional<Index> cropped = resized;
  // A configuration that says nothing of a crop has one if it gives its size.
  if (flag("do_center_crop", config.contains("crop_size"))) {
    cropped = edge(member(config, "crop_size"));
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
  texts["crop_pct"] = nlohmann::json(crop_pct).dump();
  return texts;
}

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
