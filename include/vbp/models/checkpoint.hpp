#pragma once
/// Networks in safetensors files: what the families' checkpoints share.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/tensor_names.hpp"

namespace vbp::inline VBP_ABI {

/// A model with all that is needed to run it on images. What no source told is named in `unresolved` and
/// left invalid (zero heads, zero epsilon, NaN mean and std), so that nothing can run on a guess.
template <class Model>
struct Checkpoint {
  std::string path;  ///< where it was read from; for messages
  Model model;
  io::Preprocessing preprocessing;
  std::vector<std::string> class_names;  ///< empty, or one a class
  io::Metadata metadata;                 ///< of the header, as read; saving completes it
  std::vector<ConfigValue> values;       ///< every value of the configuration, as read, with its origin
  std::vector<std::string> unresolved;
  std::vector<std::string> ignored;  ///< tensors that classification does not need (pooler, mask token)

  /// Throws FileError, naming all values that no source gave and how to give them.
  void require_complete() const { require_known(unresolved); }

  /// The same without mean and std, which a network does not need that is fed with other pixels than images'.
  void require_network() const {
    std::vector<std::string> missing = unresolved;
    std::erase_if(missing, [](const std::string& key) { return key == "mean" || key == "std"; });
    require_known(missing);
  }

 private:
  void require_known(const std::vector<std::string>& missing) const {
    if (missing.empty()) return;
    std::string keys;
    std::string options;
    for (const std::string& key : missing) {
      keys += (keys.empty() ? "" : ", ") + key;
      options += " --set " + key + "=...";
    }
    throw FileError(path, "nothing says " + keys + "; give them with" + options +
                              " or by a config.json and preprocessor_config.json beside the file");
  }
};

namespace checkpoint_detail {

inline const char* text_of(bool value) noexcept {
  return value ? "true" : "false";
}

inline const char* text_of(Activation activation) noexcept {
  return activation == Activation::gelu ? "gelu" : "gelu_tanh";
}

/// What a network is fed with and calls its classes, as metadata texts, without what is unresolved.
inline void add_image_texts(SettingTexts& texts, Index image_channels, const io::Preprocessing& preprocessing,
                            const std::vector<std::string>& class_names) {
  const auto channels = [&](const std::array<double, 3>& values) {
    return nlohmann::json(std::vector<double>(values.begin(), values.begin() + (image_channels == 1 ? 1 : 3)))
        .dump();
  };
  if (std::isfinite(preprocessing.mean[0])) texts["mean"] = channels(preprocessing.mean);
  if (std::isfinite(preprocessing.std[0])) texts["std"] = channels(preprocessing.std);
  texts["crop_pct"] = nlohmann::json(preprocessing.crop_pct).dump();
  texts["crop_mode"] = name_of(preprocessing.crop_mode);
  texts["interpolation"] = name_of(preprocessing.interpolation);
  if (!class_names.empty()) {
    texts["class_names"] =
        nlohmann::json(class_names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
}

/// The names of values that the tensors say by being there.
using Parts = std::vector<std::pair<std::string, bool>>;

/// What reading a checkpoint takes in every family: the file, where its tensors are, and configuration values
/// with their origins. A family's loader is made of one; each of its steps needs what the ones before found.
class CheckpointReader {
 protected:
  using Shape = std::vector<Index>;

  /// `keys` are the family's configuration values, `family` is its name for messages. What reads names_ comes
  /// after the family has filled it.
  CheckpointReader(const std::filesystem::path& path, const SettingTexts& options,
                   std::span<const std::string_view> keys, std::string family)
      : path_(path.string()), file_(path), keys_(keys), family_(std::move(family)) {
    for (const auto& [key, value] : options) {
      if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) continue;
      std::string known;
      for (const std::string_view name : keys_) known += (known.empty() ? "" : ", ") + std::string(name);
      throw ValueError("unknown option " + quote(key) + "; known are " + known);
    }
    settings_.add_source("option", path_, options);
    settings_.add_source("metadata", path_, SettingTexts(file_.metadata().begin(), file_.metadata().end()));
  }

  [[noreturn]] void fail(const std::string& reason) const { throw FileError(path_, reason); }

  static std::string list_text(const Shape& shape) { return nlohmann::json(shape).dump(); }

  /// `head` is the tensor that a model with classes has.
  void add_files_beside(const std::filesystem::path& folder, const std::string& head) {
    if (const auto config = read_json_object(folder / "config.json")) {
      const std::string path = (folder / "config.json").string();
      const bool timm = config->contains("architecture") || config->contains("pretrained_cfg");
      settings_.add_source(
          "config.json", path,
          timm ? timm_settings(*config) : hugging_face_settings(path, *config, names_.has(head)));
    }
    if (const auto config = read_json_object(folder / "preprocessor_config.json")) {
      const std::string path = (folder / "preprocessor_config.json").string();
      settings_.add_source("preprocessor_config.json", path, preprocessor_settings(path, *config));
    }
  }

  const std::vector<std::string>& sources(const std::string& name) const {
    const auto found = names_.sources.find(name);
    if (found == names_.sources.end()) {
      fail("the tensor " + name + " is missing" + (names_.hugging_face ? " (timm's name for it)" : ""));
    }
    return found->second;
  }

  /// The shape of a tensor that is not divided, without leading ones beyond the `rank` that is asked for.
  Shape shape_of(const std::string& name, std::size_t rank) const {
    const std::string& source = sources(name).front();
    const Shape& given = file_.tensor(source).shape;
    Shape shape = given;
    while (shape.size() > rank && shape.front() == 1) shape.erase(shape.begin());
    const bool empty = std::find(shape.begin(), shape.end(), Index{0}) != shape.end();
    if (shape.size() != rank || empty) {
      fail("the tensor " + source + " has the shape " + list_text(given) + ", which a " + family_ +
           "'s cannot have");
    }
    return shape;
  }

  [[noreturn]] void fail_unknown(const std::vector<std::string>& names) const {
    const std::size_t more = names.size() - 1;
    fail("the tensor " + quote(names.front()) +
         (more > 0 ? " and " + std::to_string(more) + " more have" : " has") + " no place in a plain " +
         family_ + " of these shapes");
  }

  /// Throws, naming the first, if a parameter's sources have been read by nobody.
  void require_none_left(const std::map<std::string, std::vector<std::string>>& left) const {
    std::vector<std::string> unknown;
    for (const auto& [name, file_names] : left) {
      for (const std::string& file_name : file_names) {
        if (!file_name.empty()) unknown.push_back(file_name);
      }
    }
    if (!unknown.empty()) fail_unknown(unknown);
  }

  // --- Values: looked up, compared with the tensors, and noted with their origin.

  std::optional<Setting> find(const std::string& key) {
    std::optional<Setting> setting = settings_.find(key);
    if (setting) origins_[key] = setting->origin;
    return setting;
  }

  /// Notes a value that the shapes tell; throws if the first source that gives it says otherwise.
  void check(const std::string& key, Index actual, const std::string& what) {
    origins_[key] = "shapes";
    const auto setting = find(key);
    if (!setting) return;
    const Index given = setting->whole_number();
    if (given != actual) contradict(*setting, what + std::to_string(actual));
  }

  [[noreturn]] void contradict(const Setting& setting, const std::string& what) const {
    fail(setting.key + " is " + quote(setting.value) + " (" + setting.origin + "), but " + what);
  }

  std::string library() const { return names_.hugging_face ? "default of Hugging Face" : "default of timm"; }

  void resolve_activation(Activation& activation) {
    origins_["activation"] = library();
    if (const auto setting = find("activation")) {
      const std::string name = activation_name(setting->value);
      if (name != "gelu" && name != "gelu_tanh") {
        setting->refuse(quote(setting->value) + " is not supported, only gelu and gelu_tanh are");
      }
      activation = name == "gelu" ? Activation::gelu : Activation::gelu_tanh;
    }
  }

  static double epsilon_of(const Setting& setting) {
    const double epsilon = setting.number();
    if (!(epsilon > 0.0 && epsilon < 1.0)) {
      setting.refuse(quote(setting.value) + " does not lie between 0 and 1");
    }
    return epsilon;
  }

  void check_widths(const std::vector<Index>& actual) {
    origins_["hidden_widths"] = "shapes";
    const auto setting = find("hidden_widths");
    if (!setting) return;
    std::vector<Index> given = setting->whole_numbers();
    if (given.size() == 1) given.resize(actual.size(), given[0]);
    if (given != actual) {
      contradict(*setting, "the rows of fc1 number " + list_text(actual));
    }
  }

  void check_list(const std::string& key, const std::vector<Index>& actual) {
    origins_[key] = "shapes";
    const auto setting = find(key);
    if (setting && setting->whole_numbers() != actual) {
      contradict(*setting, "the tensors say " + list_text(actual));
    }
  }

  /// What no tensor tells of a network that runs at any size.
  Index resolve_image_size(Index patch_size) {
    const auto setting = find("image_size");
    if (!setting) {
      fail("nothing says image_size; give it with --set image_size=... or by a config.json beside the file");
    }
    const Index size = setting->whole_number();
    // A slip of a digit shall not allocate gigabytes.
    constexpr Index kMostPatchesOnASide = 1024;
    if (size / patch_size > kMostPatchesOnASide) {
      setting->refuse(quote(setting->value) + " makes more than " + std::to_string(kMostPatchesOnASide) +
                      " patches on a side");
    }
    return size;
  }

  void resolve_preprocessing(Index channels) {
    resolve_channels("mean", channels, preprocessing_.mean);
    resolve_channels("std", channels, preprocessing_.std);
    for (const char* key : {"crop_pct", "crop_mode", "interpolation"}) origins_[key] = "default of timm";
    if (const auto setting = find("crop_pct")) {
      preprocessing_.crop_pct = setting->number();
      if (!(preprocessing_.crop_pct > 0.0 && preprocessing_.crop_pct <= 1.0)) {
        setting->refuse(quote(setting->value) + " is not above 0 and at most 1");
      }
    }
    const auto parse = [&](const char* key, auto&& parser, auto& result) {
      const auto setting = find(key);
      if (!setting) return;
      try {
        result = parser(setting->value);
      } catch (const ValueError&) {
        setting->refuse(quote(setting->value) + " is not supported");
      }
    };
    parse("crop_mode", io::parse_crop_mode, preprocessing_.crop_mode);
    parse("interpolation", io::parse_interpolation, preprocessing_.interpolation);
  }

  void resolve_channels(const std::string& key, Index channels, std::array<double, 3>& result) {
    const auto setting = find(key);
    if (!setting) {
      result.fill(std::numeric_limits<double>::quiet_NaN());
      unresolved_.push_back(key);
      return;
    }
    std::vector<double> values = setting->numbers();
    const bool uniform = std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
    if (uniform && (values.size() == 1 || values.size() == 3)) values.resize(3, values[0]);
    if (values.size() != 3 || (channels == 1 && !uniform)) {
      setting->refuse(quote(setting->value) + " is not one value for each of " + std::to_string(channels) +
                      " channels");
    }
    for (const double value : values) {
      if (key == "std" && !(value > 0.0)) setting->refuse(quote(setting->value) + " is not positive");
    }
    std::copy(values.begin(), values.end(), result.begin());
  }

  void resolve_class_names(Index classes) {
    const auto setting = find("class_names");
    if (!setting) return;
    class_names_ = setting->strings();
    const auto count = static_cast<Index>(class_names_.size());
    if (count == classes) return;
    fail("there are " + std::to_string(count) + " class_names (" + setting->origin + ") for " +
         std::to_string(classes) + " classes");
  }

  // --- The parameters.

  void read_values(const std::string& source, std::span<float> values) const {
    const Vector<float> elements = file_.read_vector<float>(source);
    if (!elements.allFinite()) fail("the tensor " + source + " holds NaN or infinite values");
    std::copy(elements.begin(), elements.end(), values.begin());
  }

  /// The values of a parameter out of the one tensor or the three, `part_names`, that make it up.
  void read_parts(const std::string& name, std::span<const std::string_view> part_names,
                  std::span<float> all) const {
    const std::vector<std::string>& parts = sources(name);
    const std::size_t part_size = all.size() / parts.size();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::span<float> values = all.subspan(i * part_size, part_size);
      if (!parts[i].empty()) {
        read_values(parts[i], values);
      } else if (i == 1 && name.ends_with(".bias")) {
        // A key's bias adds the same to all scores of a query, which softmax removes: some models have none.
        std::fill(values.begin(), values.end(), 0.0F);
      } else {
        fail("the tensor " + std::string(part_names[i]) + " of " + name + " is missing");
      }
    }
  }

  /// The checkpoint, with every value of `texts` and `parts` and its origin.
  template <class Model>
  Checkpoint<Model> finish(Model model, const SettingTexts& texts, const Parts& parts) {
    Checkpoint<Model> result;
    result.path = path_;
    for (const std::string_view key : keys_) {
      const auto found = texts.find(std::string(key));
      if (found == texts.end()) continue;
      result.values.push_back({found->first, found->second, origins_[found->first]});
    }
    for (const auto& [key, value] : parts) {
      result.values.push_back({key, text_of(value), "shapes"});
    }
    result.model = std::move(model);
    result.preprocessing = preprocessing_;
    result.class_names = std::move(class_names_);
    result.metadata = file_.metadata();
    result.unresolved = std::move(unresolved_);
    result.ignored = std::move(names_.ignored);
    return result;
  }

  std::string path_;
  io::SafetensorsFile file_;
  std::span<const std::string_view> keys_;
  std::string family_;
  TensorNames names_;
  Settings settings_;
  std::map<std::string, std::string> origins_;
  std::vector<std::string> unresolved_;
  io::Preprocessing preprocessing_;
  std::vector<std::string> class_names_;
};

/// The metadata of a file that is to hold the checkpoint: they keep what was read and are completed by
/// `texts`; of `keys` no other value survives. Throws as save_vit says.
template <class Model>
io::Metadata complete_metadata(const Checkpoint<Model>& checkpoint, const SettingTexts& texts,
                               std::span<const std::string_view> keys) {
  const auto& config = checkpoint.model.config;
  checkpoint.model.validate();
  io::validate(checkpoint.preprocessing);
  if (checkpoint.preprocessing.image_size != config.image_size) {
    throw ValueError("images are made for a size of " + std::to_string(checkpoint.preprocessing.image_size) +
                     ", the model is for " + std::to_string(config.image_size));
  }
  const auto names = static_cast<Index>(checkpoint.class_names.size());
  if (names != 0 && names != config.classes) {
    throw ValueError(std::to_string(names) + " class names for " + std::to_string(config.classes) +
                     " classes");
  }
  io::Metadata metadata = checkpoint.metadata;
  // A key that has no value now must not survive from what was read.
  for (const std::string_view key : keys) metadata.erase(std::string(key));
  for (const auto& [key, value] : texts) metadata[key] = value;
  return metadata;
}

/// Writes a checkpoint under timm's tensor names, in float32, with complete_metadata. shape_of(name, rows,
/// cols, vector) is the shape of a parameter's tensor. Throws as save_vit says.
template <class Model, class ShapeOf>
void save_checkpoint(io::AtomicFile& file, const Checkpoint<Model>& checkpoint, const SettingTexts& texts,
                     std::span<const std::string_view> keys, ShapeOf&& shape_of) {
  const io::Metadata metadata = complete_metadata(checkpoint, texts, keys);
  io::SafetensorsWriter writer;
  for_each_parameter(
      checkpoint.model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
        const std::span<const float> elements(values.data(), static_cast<std::size_t>(values.size()));
        writer.add(name, shape_of(name, rows, cols, values.IsVectorAtCompileTime), elements);
      });
  writer.write(file, metadata);
}

/// What identifies a model: a hash over its configuration, as `texts` and `parts`, and all parameters.
template <class Model>
io::Hash128 hash_of_model(const Model& model, const SettingTexts& texts, const Parts& parts) {
  io::Hasher hasher;
  for (const auto& [key, value] : texts) hasher.update(key + "=" + value + "\n");
  for (const auto& [key, value] : parts) hasher.update(key + "=" + text_of(value) + "\n");
  for_each_parameter(model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
    hasher.update(name + " " + std::to_string(rows) + " " + std::to_string(cols) + "\n");
    hasher.update(std::as_bytes(std::span(values.data(), static_cast<std::size_t>(values.size()))));
  });
  return hasher.finish();
}

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
