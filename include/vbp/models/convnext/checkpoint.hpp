#pragma once
/// ConvNeXts in safetensors files: read in timm's and Hugging Face's naming, written in timm's.

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
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
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/checkpoint_names.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/settings.hpp"

namespace vbp::inline VBP_ABI {

using ConvNextCheckpoint = Checkpoint<ConvNext<float>>;

/// The keys that options and metadata may give, in the order in which they are reported.
inline constexpr std::array<std::string_view, 18> kConvNextKeys{
    "architecture",  "image_size",  "patch_size", "channels",    "dims",           "depths",
    "hidden_widths", "num_classes", "activation", "global_pool", "layer_norm_eps", "head_norm_eps",
    "mean",          "std",         "crop_pct",   "crop_mode",   "interpolation",  "class_names"};

namespace checkpoint_detail {

/// The configuration of the network as metadata texts.
inline SettingTexts network_texts(const ConvNextConfig& config) {
  return {{"image_size", std::to_string(config.image_size)},
          {"patch_size", std::to_string(config.patch_size)},
          {"channels", std::to_string(config.channels)},
          {"dims", nlohmann::json(config.dims).dump()},
          {"depths", nlohmann::json(config.depths).dump()},
          {"hidden_widths", nlohmann::json(config.hidden_widths).dump()},
          {"num_classes", std::to_string(config.classes)},
          {"activation", text_of(config.activation)},
          {"global_pool", "avg"},
          {"layer_norm_eps", nlohmann::json(config.epsilon).dump()},
          {"head_norm_eps", nlohmann::json(config.head_epsilon).dump()}};
}

inline Parts network_parts(const ConvNextConfig& config) {
  return {{"layer_scale", config.layer_scale}};
}

/// The configuration of network, images and classes as metadata texts, without what is unresolved.
inline SettingTexts setting_texts(const ConvNextConfig& config, const io::Preprocessing& preprocessing,
                                  const std::vector<std::string>& class_names) {
  SettingTexts texts = network_texts(config);
  if (!config.architecture.empty()) texts["architecture"] = config.architecture;
  add_image_texts(texts, config.channels, preprocessing, class_names);
  return texts;
}

/// The shape of a parameter's tensor under timm's names; `vector` is whether the parameter is one.
inline std::vector<Index> convnext_tensor_shape(const ConvNextConfig& config, const std::string& name,
                                                Index rows, Index cols, bool vector) {
  if (name == "stem.0.weight") return {rows, config.channels, config.patch_size, config.patch_size};
  if (name.ends_with(".downsample.1.weight")) return {rows, cols / 4, 2, 2};
  if (name.ends_with(".conv_dw.weight")) return {rows, 1, 7, 7};
  return vector ? std::vector<Index>{rows} : std::vector<Index>{rows, cols};
}

/// What timm's name of an architecture with a tag says of the weights that Facebook published and of timm's
/// own trainings on ImageNet-12k: the image size is that of the training. Empty for every other name.
inline SettingTexts convnext_architecture_settings(std::string_view architecture) {
  if (architecture.starts_with("convnext_xxlarge")) return {{"layer_norm_eps", "1e-05"}};
  const std::size_t point = architecture.find('.');
  if (point == std::string_view::npos || !architecture.starts_with("convnext_")) return {};
  const std::string_view tag = architecture.substr(point + 1);
  if (!tag.starts_with("fb_in") && !tag.starts_with("in12k")) return {};
  const bool large = tag.ends_with("_384");
  SettingTexts texts{
      {"image_size", large ? "384" : "224"}, {"mean", "[0.485,0.456,0.406]"}, {"std", "[0.229,0.224,0.225]"}};
  texts["crop_pct"] = large ? "1.0" : tag.starts_with("fb_in") ? "0.875" : "0.95";
  if (large) texts["crop_mode"] = "squash";
  return texts;
}

/// Reads one checkpoint. Each step needs what the ones before it have found.
class ConvNextLoader : CheckpointReader {
 public:
  ConvNextLoader(const std::filesystem::path& path, const SettingTexts& options)
      : CheckpointReader(path, options, kConvNextKeys, "ConvNeXt") {
    names_ = name_convnext_tensors(path_, file_.names());
    add_files_beside(path.parent_path(), "head.fc.weight");
  }

  ConvNextCheckpoint load() {
    read_shapes();
    resolve_network();
    config_.image_size = resolve_image_size(config_.patch_size);
    resolve_preprocessing(config_.channels);
    resolve_class_names(config_.classes);
    try {
      config_.validate();
    } catch (const ValueError& error) {
      fail(error.what());
    }
    load_parameters();
    preprocessing_.image_size = config_.image_size;
    const SettingTexts texts = setting_texts(config_, preprocessing_, class_names_);
    return finish(std::move(model_), texts, network_parts(config_));
  }

 private:
  static std::string stage_name(Index stage) { return "stages." + std::to_string(stage); }
  static std::string block_name(Index stage, Index block) {
    return stage_name(stage) + ".blocks." + std::to_string(block);
  }

  void read_shapes() {
    if (!names_.unknown.empty()) fail_unknown(names_.unknown);
    const Shape stem = shape_of("stem.0.weight", 4);
    if (stem[2] != stem[3]) fail("patches are not square: stem.0.weight is " + list_text(stem));
    config_.channels = stem[1];
    config_.patch_size = stem[2];
    if (config_.channels != 1 && config_.channels != 3) {
      fail("the stem reads " + std::to_string(config_.channels) + " channels; images have 1 or 3");
    }
    // No more stages and blocks than there are tensors, so that the loops end.
    for (Index stage = 0; names_.has(block_name(stage, 0) + ".conv_dw.weight"); ++stage) {
      Index depth = 0;
      for (; names_.has(block_name(stage, depth) + ".conv_dw.weight"); ++depth) {
        const std::string fc1 = block_name(stage, depth) + ".mlp.fc1.weight";
        if (depth == 0) config_.dims.push_back(shape_of(fc1, trailing_ones(fc1))[1]);
        config_.hidden_widths.push_back(shape_of(fc1, trailing_ones(fc1))[0]);
      }
      config_.depths.push_back(depth);
    }
    if (config_.dims.empty())
      fail("the tensor " + block_name(0, 0) + ".conv_dw.weight is missing: there are no blocks");
    config_.layer_scale = names_.has(block_name(0, 0) + ".gamma");
    if (names_.has("head.fc.weight")) config_.classes = shape_of("head.fc.weight", 2)[0];
  }

  /// Dimensions of a linear layer's tensor: two, or four where it is written as a pointwise convolution.
  std::size_t trailing_ones(const std::string& name) const {
    const Shape& shape = file_.tensor(sources(name).front()).shape;
    return shape.size() == 4 && shape[2] == 1 && shape[3] == 1 ? 4 : 2;
  }

  void resolve_network() {
    check("patch_size", config_.patch_size, "stem.0.weight has patches of ");
    check("channels", config_.channels, "stem.0.weight has channels ");
    check("num_classes", config_.classes,
          config_.classes > 0 ? "the rows of " + sources("head.fc.weight").front() + " number "
                              : "there is no head, so that the number of classes is ");
    check_list("dims", config_.dims);
    check_list("depths", config_.depths);
    check_widths(config_.hidden_widths);
    if (const auto setting = find("architecture")) config_.architecture = setting->value;
    settings_.add_source("architecture name", path_, convnext_architecture_settings(config_.architecture));
    resolve_activation(config_.activation);
    origins_["global_pool"] = library();
    if (const auto setting = find("global_pool"); setting && setting->value != "avg") {
      setting->refuse(quote(setting->value) + " is not supported, only avg is");
    }
    resolve_epsilons();
  }

  void resolve_epsilons() {
    // What Hugging Face's config.json calls layer_norm_eps is the head's alone; the others are fixed there.
    const auto of_head_alone = [this](const std::string& origin) {
      return names_.hugging_face && origin == "config.json";
    };
    const auto others = settings_.find_where(
        "layer_norm_eps", [&](const std::string& origin) { return !of_head_alone(origin); });
    std::optional<Setting> head = settings_.find("head_norm_eps");
    if (!head) head = names_.hugging_face ? settings_.find_where("layer_norm_eps", of_head_alone) : others;
    const auto resolve = [this](const char* key, const std::optional<Setting>& setting, double otherwise) {
      origins_[key] = setting ? setting->origin : library();
      return setting ? epsilon_of(*setting) : otherwise;
    };
    config_.epsilon = resolve("layer_norm_eps", others, 1e-6);
    config_.head_epsilon = resolve("head_norm_eps", head, names_.hugging_face ? 1e-12 : 1e-6);
  }

  void load_parameters() {
    model_.config = config_;
    model_.blocks.resize(config_.hidden_widths.size());
    model_.downsamplings.resize(config_.dims.size() - 1);
    std::map<std::string, std::vector<std::string>> left = names_.sources;
    for_each_parameter(model_, [&](const std::string& name, auto& parameter, Index rows, Index cols) {
      const std::string& source = sources(name).front();
      left.erase(name);
      Shape expected = convnext_tensor_shape(config_, name, rows, cols, parameter.IsVectorAtCompileTime);
      if (cols > 1 && name.find(".mlp.") != std::string::npos && trailing_ones(name) == 4) {
        expected = {rows, cols, 1, 1};
      }
      const Shape& given = file_.tensor(source).shape;
      if (given != expected) {
        fail("the tensor " + source + " has the shape " + list_text(given) + ", not " + list_text(expected));
      }
      parameter.resize(rows, cols);
      read_values(source, std::span<float>(parameter.data(), static_cast<std::size_t>(parameter.size())));
    });
    require_none_left(left);
  }

  ConvNextConfig config_;
  ConvNext<float> model_;
};

}  // namespace checkpoint_detail

/// Reads a ConvNeXt of the first version with timm's or Hugging Face's tensor names. Each value of the
/// configuration comes from the first source that has it: `options` (keys of kConvNextKeys), the header's
/// metadata, config.json and preprocessor_config.json beside the file, the shapes, and for well-known weights
/// the architecture's name. Throws FileError, naming the tensor or the two sources, if the file is no such
/// ConvNeXt, contradicts itself or leaves the image size open; ValueError for an unknown or malformed option.
/// Other missing values do not throw: see Checkpoint::require_complete.
inline ConvNextCheckpoint load_convnext(const std::filesystem::path& path,
                                        const std::map<std::string, std::string>& options = {}) {
  return checkpoint_detail::ConvNextLoader(path, options).load();
}

/// Writes a checkpoint under timm's tensor names, in float32. The metadata keep what they hold and are
/// completed by every value of the configuration as the model has it now, so that the file needs nothing
/// beside it: load_convnext reads the same model and values back. The file is the caller's to commit.
/// Throws ValueError or ShapeError, before anything is written, if the checkpoint is incomplete or
/// contradicts itself, and FileError if it cannot be written.
inline void save_convnext(io::AtomicFile& file, const ConvNextCheckpoint& checkpoint) {
  const ConvNextConfig& config = checkpoint.model.config;
  checkpoint_detail::save_checkpoint(
      file, checkpoint,
      checkpoint_detail::setting_texts(config, checkpoint.preprocessing, checkpoint.class_names),
      kConvNextKeys, [&](const std::string& name, Index rows, Index cols, bool vector) {
        return checkpoint_detail::convnext_tensor_shape(config, name, rows, cols, vector);
      });
}

/// The same in one atomic step.
inline void save_convnext(const std::filesystem::path& path, const ConvNextCheckpoint& checkpoint) {
  io::AtomicFile file(path);
  save_convnext(file, checkpoint);
  file.commit();
}

/// What identifies a model: a hash over its configuration and all parameters. The same for the same model
/// out of a timm and a Hugging Face file; its name plays no part.
template <class T>
io::Hash128 fingerprint(const ConvNext<T>& model) {
  using namespace checkpoint_detail;
  return hash_of_model(model, network_texts(model.config), network_parts(model.config));
}

}  // namespace vbp::inline VBP_ABI
