#pragma once
/// Bodies of checkpoint.hpp.

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

/// The configuration of the network as metadata texts, without what is unresolved.
template <class Model, class Config = typename Model::Config>
SettingTexts network_texts(const Config& config) {
  SettingTexts texts{
      {"image_size", std::to_string(config.image_size)}, {"patch_size", std::to_string(config.patch_size)},
      {"channels", std::to_string(config.channels)},     {"hidden_widths", text_of(config.hidden_widths)},
      {"num_classes", std::to_string(config.classes)},   {"activation", text_of(config.activation)}};
  if (config.epsilon > 0.0) texts["layer_norm_eps"] = text_of(config.epsilon);
  if constexpr (StageConfig<Config>) {
    texts["dims"] = text_of(config.dims);
    texts["depths"] = text_of(config.depths);
    texts["global_pool"] = "avg";
  }
  CheckpointFormat<Model>::add_texts(config, texts);
  return texts;
}

/// Adds what a network's images are like and what its classes are called, without what is unresolved.
template <class Channels>
void add_image_texts(SettingTexts& texts, Channels image_channels, const io::Preprocessing& preprocessing,
                     const std::vector<std::string>& class_names) {
  const auto channels = [&](const std::array<double, 3>& values) {
    return text_of(std::vector<double>(values.begin(), values.begin() + (image_channels == 1 ? 1 : 3)));
  };
  if (std::isfinite(preprocessing.mean[0])) texts["mean"] = channels(preprocessing.mean);
  if (std::isfinite(preprocessing.std[0])) texts["std"] = channels(preprocessing.std);
  texts["crop_pct"] = text_of(preprocessing.crop_pct);
  texts["crop_mode"] = name_of(preprocessing.crop_mode);
  texts["interpolation"] = name_of(preprocessing.interpolation);
  if (!class_names.empty()) texts["class_names"] = text_of(class_names);
}

/// The configuration of network, images and classes as metadata texts, without what is unresolved.
template <class Model>
SettingTexts setting_texts(const typename Model::Config& config, const io::Preprocessing& preprocessing,
                           const std::vector<std::string>& class_names) {
  SettingTexts texts = network_texts<Model>(config);
  if (!config.architecture.empty()) texts["architecture"] = config.architecture;
  add_image_texts(texts, config.channels, preprocessing, class_names);
  return texts;
}

template <class Model>
io::Metadata complete_metadata(const Checkpoint<Model>& checkpoint) {
  const auto config = config_of(checkpoint.model);
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
  for (const std::string_view key : CheckpointFormat<Model>::kKeys) metadata.erase(std::string(key));
  const SettingTexts texts = setting_texts<Model>(config, checkpoint.preprocessing, checkpoint.class_names);
  for (const auto& [key, value] : texts) metadata[key] = value;
  return metadata;
}

template <class Model>
std::vector<Index> tensor_shape(const typename Model::Config& config, const std::string& name, Index rows,
                                Index cols, bool vector) {
  using Format = CheckpointFormat<Model>;
  if (name == Format::kEmbedding) return {rows, config.channels, config.patch_size, config.patch_size};
  if constexpr (requires { Format::special_shape(name, rows, cols); }) {
    if (auto shape = Format::special_shape(name, rows, cols); !shape.empty()) return shape;
  }
  return vector ? std::vector<Index>{rows} : std::vector<Index>{rows, cols};
}

/// Calls visit(name, shape of the tensor under timm's name, values) for every parameter of a model.
template <class Model, class Visit>
void for_each_tensor(const Model& model, Visit&& visit) {
  for_each_parameter(model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
    visit(name, tensor_shape<Model>(model.config, name, rows, cols, values.IsVectorAtCompileTime),
          std::span(values.data(), static_cast<std::size_t>(values.size())));
  });
}

}  // namespace checkpoint_detail

template <class Model>
void save_checkpoint(io::AtomicFile& file, const Checkpoint<Model>& checkpoint) {
  const io::Metadata metadata = checkpoint_detail::complete_metadata(checkpoint);
  io::SafetensorsWriter writer;
  checkpoint_detail::for_each_tensor(checkpoint.model,
                                     [&](const std::string& name, const std::vector<Index>& shape,
                                         std::span<const float> values) { writer.add(name, shape, values); });
  writer.write(file, metadata);
}

template <class Model>
void save_checkpoint(const std::filesystem::path& path, const Checkpoint<Model>& checkpoint) {
  io::AtomicFile file(path);
  save_checkpoint(file, checkpoint);
  file.commit();
}

template <class Model>
io::Hash128 fingerprint(const Model& model) {
  using namespace checkpoint_detail;
  const auto config = config_of(model);
  io::Hasher hasher;
  for (const auto& [key, value] : network_texts<Model>(config)) hasher.update(key + "=" + value + "\n");
  for (const auto& [key, flag] : CheckpointFormat<Model>::kFlags) {
    hasher.update(std::string(key) + "=" + text_of(config.*flag) + "\n");
  }
  for_each_parameter(model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
    hasher.update(name + " " + std::to_string(rows) + " " + std::to_string(cols) + "\n");
    hasher.update(std::as_bytes(std::span(values.data(), static_cast<std::size_t>(values.size()))));
  });
  return hasher.finish();
}

}  // namespace vbp::inline VBP_ABI
