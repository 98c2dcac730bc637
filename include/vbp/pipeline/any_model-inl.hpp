#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/config_file.hpp"
#include "vbp/models/convnext/cost.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/config_file.hpp"
#include "vbp/models/swin/cost.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/config_file.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/pipeline/any_model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

// What the families call differently. Templates, so that header-only programs compile what they use.

template <class M>
constexpr const char* family_name() {
  if constexpr (std::same_as<M, VisionTransformer<float>>) {
    return "Vision Transformer";
  } else if constexpr (std::same_as<M, ConvNext<float>>) {
    return "ConvNeXt";
  } else {
    return "Swin Transformer";
  }
}

template <class Config>
Cost cost_of_config(const Config& config) {
  if constexpr (std::same_as<Config, VitConfig>) {
    return vit_cost(config);
  } else if constexpr (std::same_as<Config, ConvNextConfig>) {
    return convnext_cost(config);
  } else {
    return swin_cost(config);
  }
}

template <class M>
void save_checkpoint(io::AtomicFile& file, const Checkpoint<M>& checkpoint) {
  if constexpr (std::same_as<M, VisionTransformer<float>>) {
    save_vit(file, checkpoint);
  } else if constexpr (std::same_as<M, ConvNext<float>>) {
    save_convnext(file, checkpoint);
  } else {
    save_swin(file, checkpoint);
  }
}

template <class Config>
void describe_stream(const Config& config, ModelDescription& description) {
  if constexpr (std::same_as<Config, VitConfig>) {
    description.stream_rows = config.tokens();
    description.stream_dim = config.dim;
  } else {
    description.stream_rows = config.pixels(0);
    description.stream_dim = config.dim(0);
    for (Index i = 0; i < config.stages(); ++i) {
      const auto first = static_cast<std::size_t>(config.first_block(i));
      description.stages.push_back({.name = stage_name(description.blocks[first]),
                                    .side = config.side(i),
                                    .dim = config.dim(i),
                                    .first_block = config.first_block(i),
                                    .blocks = config.depths[static_cast<std::size_t>(i)]});
    }
  }
}

/// The configuration with the widths that the weights have; its own for a model that has no weights yet.
template <class M>
auto config_with_widths(const M& model) {
  return model.blocks.empty() ? model.config : config_of(model);
}

template <class M>
M initialised(const M& model, std::uint64_t seed, std::optional<double> layer_scale) {
  if constexpr (std::same_as<M, VisionTransformer<float>>) {
    return layer_scale ? initialise_vit<float>(model.config, seed, *layer_scale)
                       : initialise_vit<float>(model.config, seed);
  } else if constexpr (std::same_as<M, ConvNext<float>>) {
    return layer_scale ? initialise_convnext<float>(model.config, seed, *layer_scale)
                       : initialise_convnext<float>(model.config, seed);
  } else {
    return initialise_swin<float>(model.config, seed);
  }
}

template <class Pointer, class Variant>
std::vector<Pointer> mlps_of(Variant& variant) {
  std::vector<Pointer> mlps;
  std::visit(
      [&](auto& model) {
        for (auto& block : model.blocks) mlps.push_back(&block);
      },
      variant);
  return mlps;
}

}  // namespace detail

VBP_FUNCTION ModelDescription AnyModel::description() const {
  return std::visit(
      []<class M>(const M& model) {
        const auto config = detail::config_with_widths(model);
        ModelDescription description{.family = detail::family_name<M>(),
                                     .architecture = config.architecture,
                                     .classes = config.classes,
                                     .outputs = config.outputs(),
                                     .channels = config.channels,
                                     .image_elements = config.image_elements(),
                                     .blocks = block_names(config),
                                     .hidden_widths = config.hidden_widths};
        detail::describe_stream(config, description);
        return description;
      },
      variant());
}

VBP_FUNCTION Cost AnyModel::cost() const {
  return std::visit(
      [](const auto& model) { return detail::cost_of_config(detail::config_with_widths(model)); }, variant());
}

VBP_FUNCTION Resource AnyModel::resource(std::string name,
                                         std::int64_t (Cost::*part)() const noexcept) const {
  return std::visit(
      [&](const auto& model) {
        const auto cost = [](const auto& config) { return detail::cost_of_config(config); };
        return resource_of(detail::config_with_widths(model), cost, std::move(name), part);
      },
      variant());
}

VBP_FUNCTION io::Hash128 AnyModel::fingerprint() const {
  return std::visit([](const auto& model) { return vbp::fingerprint(model); }, variant());
}

VBP_FUNCTION std::vector<Mlp<float>*> AnyModel::mlps() {
  return detail::mlps_of<Mlp<float>*>(variant());
}

VBP_FUNCTION std::vector<const Mlp<float>*> AnyModel::mlps() const {
  return detail::mlps_of<const Mlp<float>*>(variant());
}

VBP_FUNCTION Matrix<double> AnyModel::output_weight(std::size_t block) const {
  return std::visit(
      [&](const auto& model) {
        const auto& found = model.blocks[block];
        Matrix<double> weight = found.fc2.weight.template cast<double>();
        const Vector<float>& scale = found.output_scale();
        if (scale.size() > 0) weight = scale.template cast<double>().asDiagonal() * weight;
        return weight;
      },
      variant());
}

VBP_FUNCTION void AnyModel::set_class_names(std::vector<std::string> names) {
  std::visit([&](auto& model) { model.config.classes = static_cast<Index>(names.size()); }, variant());
  checkpoint_.class_names = std::move(names);
}

VBP_FUNCTION AnyModel load_model(const std::filesystem::path& file, const LoadOptions& options) {
  std::map<std::string, std::string> settings = options.settings;
  if (options.image_size && !settings.emplace("image_size", std::to_string(*options.image_size)).second) {
    throw ValueError("image_size is set twice");
  }
  const std::vector<std::string> names = io::SafetensorsFile(file).names();
  if (is_convnext(names)) return AnyModel(load_convnext(file, settings));
  // Before the Vision Transformer, whose patch embedding has the same name.
  if (is_swin(names)) return AnyModel(load_swin(file, settings));
  if (is_vit(names)) return AnyModel(load_vit(file, settings));
  throw FileError(
      file.string(),
      "holds no model of a known family: none of patch_embed.proj.weight (Vision Transformer, timm), "
      "embeddings.patch_embeddings.projection.weight (Vision Transformer, Hugging Face; alone or after vit., "
      "deit., dinov2. or dinov2_with_registers.), stem.0.weight (ConvNeXt, timm), "
      "embeddings.patch_embeddings.weight (ConvNeXt, Hugging Face; alone or after convnext.), "
      "layers.0.blocks.0.norm1.weight (Swin Transformer, timm) and "
      "encoder.layers.0.blocks.0.layernorm_before.weight (Swin Transformer, Hugging Face; alone or after "
      "swin.) is among its " +
          std::to_string(names.size()) + " tensors");
}

VBP_FUNCTION std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.parent_path();
  return {file, folder / "config.json", folder / "preprocessor_config.json"};
}

VBP_FUNCTION void save_model(io::AtomicFile& file, const AnyModel& model) {
  std::visit([&](const auto& of) { detail::save_checkpoint(file, model.checkpoint_of(of)); },
             model.variant());
}

VBP_FUNCTION void save_model(const std::filesystem::path& file, const AnyModel& model) {
  io::AtomicFile out(file);
  save_model(out, model);
  out.commit();
}

VBP_FUNCTION AnyModel load_config(const std::filesystem::path& file,
                                  const std::map<std::string, std::string>& settings) {
  const std::set<std::string> keys = config_keys(file, settings);
  if (keys.contains("window_size")) return AnyModel(load_swin_config(file, settings));
  if (keys.contains("dims")) return AnyModel(load_convnext_config(file, settings));
  return AnyModel(load_vit_config(file, settings));
}

VBP_FUNCTION void initialise(AnyModel& model, std::uint64_t seed, std::optional<double> layer_scale) {
  std::visit([&](auto& of) { of = detail::initialised(of, seed, layer_scale); }, model.variant());
}

}  // namespace vbp::inline VBP_ABI
