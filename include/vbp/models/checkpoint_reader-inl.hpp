#pragma once
/// Reading a checkpoint: the steps that are the same in all families.

#include <algorithm>
#include <array>
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

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/checkpoint-inl.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/settings_files.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/tensor_names-inl.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

/// Reads one checkpoint. `Reader` is derived from it and has read_shapes(), which fills config_ from the
/// shapes of tensors; resolve_network(), which compares config_ with the settings and completes it; and,
/// where it needs them, its own checked_config(), read_parameter() and complete_model(). Each step needs what
/// the ones before found.
template <class Reader, class M>
class CheckpointReader {
 public:
  CheckpointReader(const std::filesystem::path& path, const SettingTexts& options)
      : path_(path.string()), file_(path) {
    for (const auto& [key, value] : options) require_known_option(key);
    settings_.add_source("option", path_, options);
    settings_.add_source("metadata", path_, SettingTexts(file_.metadata().begin(), file_.metadata().end()));
    names_ = name_tensors<Names>(path_, file_.names());
    const std::filesystem::path folder = path.parent_path();
    const std::filesystem::path config = folder / "config.json";
    if (auto texts = model_settings(config, names_.has(head()))) {
      settings_.add_source("config.json", config.string(), std::move(*texts));
    }
    const std::filesystem::path preprocessor = folder / "preprocessor_config.json";
    if (auto texts = preprocessor_settings(preprocessor)) {
      settings_.add_source("preprocessor_config.json", preprocessor.string(), std::move(*texts));
    }
  }

  Checkpoint<M> load() {
    if (!names_.unknown.empty()) fail_unknown(names_.unknown);
    reader().read_shapes();
    reader().resolve_network();
    resolve_preprocessing();
    resolve_class_names();
    with_file(path_, [&] { reader().checked_config().validate(); });
    read_parameters();
    reader().complete_model();
    preprocessing_.image_size = model_.config.image_size;
    return checkpoint();
  }

 protected:
  using Config = typename M::Config;
  using Format = CheckpointFormat<M>;
  using Names = typename Format::Names;
  using Shape = std::vector<Index>;

  // ---- what a reader may replace ----

  const Config& checked_config() const noexcept { return config_; }

  template <class Parameter>
  void read_parameter(const std::string& name, Parameter& parameter, Index rows, Index cols) {
    read(name, parameter, rows, cols);
  }

  void complete_model() noexcept {}

  // ---- errors ----

  [[noreturn]] void fail(const std::string& reason) const { throw FileError(path_, reason); }

  [[noreturn]] void contradict(const Setting& setting, const std::string& what) const {
    fail(setting.key + " is " + quote(setting.value) + " (" + setting.origin + "), but " + what);
  }

  // ---- shapes ----

  /// The tensor that a model with classes has.
  static std::string head() { return StageConfig<Config> ? "head.fc.weight" : "head.weight"; }

  const std::vector<std::string>& sources(const std::string& name) const {
    const auto found = names_.sources.find(name);
    if (found == names_.sources.end()) {
      fail("the tensor " + name + " is missing" + (names_.hugging_face ? " (timm's name for it)" : ""));
    }
    return found->second;
  }

  const Shape& stored_shape(const std::string& name) const {
    return file_.tensor(sources(name).front()).shape;
  }

  /// The shape of a tensor that is not divided, without leading ones beyond the `rank` that is asked for.
  Shape shape_of(const std::string& name, std::size_t rank) const {
    const Shape& given = stored_shape(name);
    Shape shape = given;
    while (shape.size() > rank && shape.front() == 1) shape.erase(shape.begin());
    const bool empty = std::find(shape.begin(), shape.end(), Index{0}) != shape.end();
    if (shape.size() != rank || empty) {
      fail("the tensor " + sources(name).front() + " has the shape " + text_of(given) + ", which a " +
           std::string(Config::kFamily) + "'s cannot have");
    }
    return shape;
  }

  /// The same of a linear layer, which may be written as a pointwise convolution.
  Shape linear_shape(const std::string& name) const {
    return shape_of(name, is_pointwise(stored_shape(name)) ? 4 : 2);
  }

  /// Reads channels and patch size off the patch embedding, and classes off the head.
  Shape read_ends(const std::string& embedding) {
    const Shape patch = shape_of(embedding, 4);
    if (patch[2] != patch[3]) fail("patches are not square: " + embedding + " is " + text_of(patch));
    config_.channels = patch[1];
    config_.patch_size = patch[2];
    if (config_.channels != 1 && config_.channels != 3) {
      fail("the patch embedding reads " + std::to_string(config_.channels) + " channels; images have 1 or 3");
    }
    if (names_.has(head())) config_.classes = shape_of(head(), 2)[0];
    return patch;
  }

  // ---- settings: looked up, compared with the tensors, and noted with their origin ----

  std::optional<Setting> find(const std::string& key) {
    std::optional<Setting> setting = settings_.find(key);
    if (setting) origins_[key] = setting->origin;
    return setting;
  }

  /// Notes a value that the shapes tell; throws if the first source that gives it disagrees.
  void check(const std::string& key, Index actual, const std::string& what) {
    origins_[key] = "shapes";
    const auto setting = find(key);
    if (setting && setting->whole_number() != actual) contradict(*setting, what + std::to_string(actual));
  }

  void check_list(const std::string& key, const std::vector<Index>& actual) {
    origins_[key] = "shapes";
    const auto setting = find(key);
    if (setting && setting->whole_numbers() != actual) {
      contradict(*setting, "the tensors say " + text_of(actual));
    }
  }

  void check_ends(const std::string& embedding) {
    check("patch_size", config_.patch_size, embedding + " has patches of ");
    check("channels", config_.channels, embedding + " has channels ");
    check("num_classes", config_.classes,
          config_.classes > 0 ? "the rows of " + sources(head()).front() + " number "
                              : "there is no head, so that the number of classes is ");
  }

  void check_widths() {
    origins_["hidden_widths"] = "shapes";
    const auto setting = find("hidden_widths");
    if (setting && widths_of(*setting, config_.hidden_widths.size()) != config_.hidden_widths) {
      contradict(*setting, "the rows of fc1 number " + text_of(config_.hidden_widths));
    }
  }

  /// Looks the architecture up; its name is a source of settings itself.
  void resolve_architecture() {
    if (const auto setting = find("architecture")) config_.architecture = setting->value;
    settings_.add_source("architecture name", path_, Format::architecture_settings(config_));
  }

  void resolve_activation() {
    origins_["activation"] = library();
    if (const auto setting = find("activation")) config_.activation = setting->activation();
  }

  std::string library() const { return names_.hugging_face ? "default of Hugging Face" : "default of timm"; }

  static double epsilon_of(const Setting& setting) {
    const double epsilon = setting.number();
    if (!(epsilon > 0.0 && epsilon < 1.0)) {
      setting.refuse(quote(setting.value) + " does not lie between 0 and 1");
    }
    return epsilon;
  }

  /// The epsilon of a setting that may be missing; notes its origin.
  double resolve_epsilon(const char* key, const std::optional<Setting>& setting, double otherwise) {
    origins_[key] = setting ? setting->origin : library();
    return setting ? epsilon_of(*setting) : otherwise;
  }

  // ---- parameters ----

  /// Reads the one or three tensors that make up a parameter.
  template <class Parameter>
  void read(const std::string& name, Parameter& parameter, Index rows, Index cols) {
    const std::vector<std::string>& parts = sources(name);
    const Shape expected = tensor_shape<M>(config_, name, rows / static_cast<Index>(parts.size()), cols,
                                           parameter.IsVectorAtCompileTime);
    // Memory is taken only when all shapes are known to be right.
    for (const std::string& part : parts) {
      if (!part.empty()) check_shape(name, part, expected);
    }
    parameter.resize(rows, cols);
    read_parts(name, std::span<float>(parameter.data(), static_cast<std::size_t>(parameter.size())));
  }

  std::string path_;
  io::SafetensorsFile file_;
  TensorNames names_;
  Settings settings_;
  std::map<std::string, std::string> origins_;
  std::vector<std::string> unresolved_;
  io::Preprocessing preprocessing_;
  std::vector<std::string> class_names_;
  Config config_;
  M model_;
  std::map<std::string, std::vector<std::string>> unread_;  ///< parameters of the file that nobody has read

 private:
  Reader& reader() noexcept { return static_cast<Reader&>(*this); }

  static void require_known_option(const std::string& key) {
    if (std::find(Format::kKeys.begin(), Format::kKeys.end(), key) != Format::kKeys.end()) return;
    std::string known;
    for (const std::string_view name : Format::kKeys) {
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    throw ValueError("unknown option " + quote(key) + "; known are " + known);
  }

  [[noreturn]] void fail_unknown(const std::vector<std::string>& names) const {
    const std::size_t more = names.size() - 1;
    fail("the tensor " + quote(names.front()) +
         (more > 0 ? " and " + std::to_string(more) + " more have" : " has") + " no place in a plain " +
         std::string(Config::kFamily) + " of these shapes");
  }

  static bool is_pointwise(const Shape& shape) noexcept {
    return shape.size() == 4 && shape[2] == 1 && shape[3] == 1;
  }

  void resolve_preprocessing() {
    resolve_channels("mean", preprocessing_.mean);
    resolve_channels("std", preprocessing_.std);
    for (const char* key : {"crop_pct", "crop_mode", "interpolation"}) origins_[key] = "default of timm";
    if (const auto setting = find("crop_pct")) {
      preprocessing_.crop_pct = setting->number();
      if (!(preprocessing_.crop_pct > 0.0 && preprocessing_.crop_pct <= 1.0)) {
        setting->refuse(quote(setting->value) + " is not above 0 and at most 1");
      }
    }
    const auto parse = [&](const char* key, auto&& set) {
      const auto setting = find(key);
      if (!setting) return;
      try {
        set(setting->value);
      } catch (const ValueError&) {
        setting->refuse(quote(setting->value) + " is not supported");
      }
    };
    parse("crop_mode",
          [&](const std::string& name) { preprocessing_.crop_mode = io::parse_crop_mode(name); });
    parse("interpolation",
          [&](const std::string& name) { preprocessing_.interpolation = io::parse_interpolation(name); });
  }

  void resolve_channels(const std::string& key, std::array<double, 3>& result) {
    const auto setting = find(key);
    if (!setting) {
      result.fill(std::numeric_limits<double>::quiet_NaN());
      unresolved_.push_back(key);
      return;
    }
    std::vector<double> values = setting->numbers();
    const bool uniform = std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
    if (uniform && (values.size() == 1 || values.size() == 3)) values.resize(3, values[0]);
    if (values.size() != 3 || (config_.channels == 1 && !uniform)) {
      setting->refuse(quote(setting->value) + " is not one value for each of " +
                      std::to_string(config_.channels) + " channels");
    }
    for (const double value : values) {
      if (key == "std" && !(value > 0.0)) setting->refuse(quote(setting->value) + " is not positive");
    }
    std::copy(values.begin(), values.end(), result.begin());
  }

  void resolve_class_names() {
    const auto setting = find("class_names");
    if (!setting) return;
    class_names_ = setting->strings();
    const auto count = static_cast<Index>(class_names_.size());
    if (count == config_.classes) return;
    fail("there are " + std::to_string(count) + " class_names (" + setting->origin + ") for " +
         std::to_string(config_.classes) + " classes");
  }

  /// Reads all parameters; throws, naming the first, if one of the file's has been read by nobody.
  void read_parameters() {
    model_.config = config_;
    vbp::detail::set_blocks(model_);
    unread_ = names_.sources;
    for_each_parameter(model_, [&](const std::string& name, auto& parameter, Index rows, Index cols) {
      unread_.erase(name);
      reader().read_parameter(name, parameter, rows, cols);
    });
    std::vector<std::string> unknown;
    for (const auto& [name, file_names] : unread_) {
      for (const std::string& file_name : file_names) {
        if (!file_name.empty()) unknown.push_back(file_name);
      }
    }
    if (!unknown.empty()) fail_unknown(unknown);
  }

  void check_shape(const std::string& name, const std::string& source, const Shape& expected) const {
    const Shape& given = file_.tensor(source).shape;
    const auto core = [&](Shape shape) {
      // Tokens and positions have leading ones, as many as a library likes.
      const bool token = name.find('.') == std::string::npos;
      while (token && !shape.empty() && shape.front() == 1) shape.erase(shape.begin());
      if (expected.size() == 2 && is_pointwise(shape)) shape.resize(2);
      return shape;
    };
    if (core(given) == core(expected)) return;
    fail("the tensor " + source + " has the shape " + text_of(given) + ", not " + text_of(expected));
  }

  void read_values(const std::string& source, std::span<float> values) const {
    const Vector<float> elements = file_.read_vector<float>(source);
    if (!elements.allFinite()) fail("the tensor " + source + " holds NaN or infinite values");
    std::copy(elements.begin(), elements.end(), values.begin());
  }

  /// The values of a parameter out of the one tensor or the three that make it up.
  void read_parts(const std::string& name, std::span<float> all) const {
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
        fail("the tensor " + std::string(Names::kQueryKeyValue[i]) + " of " + name + " is missing");
      }
    }
  }

  /// The checkpoint, with every value of the configuration and its origin.
  Checkpoint<M> checkpoint() {
    Checkpoint<M> result;
    result.path = path_;
    const SettingTexts texts = setting_texts<M>(model_.config, preprocessing_, class_names_);
    for (const std::string_view key : Format::kKeys) {
      const auto found = texts.find(std::string(key));
      if (found == texts.end()) continue;
      result.values.push_back({found->first, found->second, origins_[found->first]});
    }
    for (const auto& [key, flag] : Format::kFlags) {
      result.values.push_back({key, text_of(model_.config.*flag), "shapes"});
    }
    result.model = std::move(model_);
    result.preprocessing = preprocessing_;
    result.class_names = std::move(class_names_);
    result.metadata = file_.metadata();
    result.unresolved = std::move(unresolved_);
    result.ignored = std::move(names_.ignored);
    return result;
  }
};

}  // namespace checkpoint_detail

template <class Model>
bool is_checkpoint_of(const std::vector<std::string>& file_names) {
  return checkpoint_detail::is_family<typename checkpoint_detail::CheckpointFormat<Model>::Names>(file_names);
}

template <class Model>
Checkpoint<Model> load_checkpoint(const std::filesystem::path& path, const SettingTexts& options) {
  return typename checkpoint_detail::CheckpointFormat<Model>::Reader(path, options).load();
}

}  // namespace vbp::inline VBP_ABI
