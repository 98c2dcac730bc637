#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/core/dependent.hpp"
#include "vbp/core/error.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/cost.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/settings_files.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/cost.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/models/vit/initialise.hpp"
#include "vbp/pipeline/any_model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The configuration with the widths that the weights have; its own for a model that has no weights yet.
template <class M>
typename M::Config config_with_widths(const M& model) {
  return model.blocks.empty() ? model.config : config_of(model);
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

/// The model of the first family in the variant that the file's tensors fit; none if they fit no family.
template <class... Families>
std::optional<AnyModel> load_as(std::variant<Families...>*, const std::vector<std::string>& tensors,
                                const std::filesystem::path& file,
                                const std::map<std::string, std::string>& settings) {
  std::optional<AnyModel> model;
  const auto load = [&]<class M>(const M*) {
    if (!model && is_checkpoint_of<M>(tensors)) model.emplace(load_checkpoint<M>(file, settings));
  };
  (load(static_cast<const Families*>(nullptr)), ...);
  return model;
}

template <class M>
ModelDescription description_of(const M& model) {
  const auto config = config_with_widths(model);
  return {.family = M::Config::kFamily,
          .architecture = config.architecture,
          .classes = config.classes,
          .outputs = config.outputs(),
          .channels = config.channels,
          .image_elements = config.image_elements(),
          .stream_rows = config.stream_rows(),
          .stream_dim = config.stream_width(),
          .blocks = block_names(config),
          .hidden_widths = config.hidden_widths,
          .stages = stages_of(config)};
}

template <class M>
Matrix<double> output_weight_of(const M& model, std::size_t block) {
  const auto& found = model.blocks[block];
  Matrix<double> weight = found.fc2.weight.template cast<double>();
  const Vector<float>& scale = found.output_scale();
  if (scale.size() > 0) weight = scale.template cast<DoubleFor<M>>().asDiagonal() * weight;
  return weight;
}

}  // namespace detail

VBP_FUNCTION ModelDescription AnyModel::description() const {
  return std::visit([](const auto& model) -> ModelDescription { return detail::description_of(model); },
                    variant());
}

VBP_FUNCTION Cost AnyModel::cost() const {
  return std::visit([](const auto& model) -> Cost { return cost_of(detail::config_with_widths(model)); },
                    variant());
}

VBP_FUNCTION Resource AnyModel::resource(std::string name,
                                         std::int64_t (Cost::*part)() const noexcept) const {
  return std::visit(
      [&]<class M>(const M& model) -> Resource {
        const auto cost = [](const typename M::Config& config) { return cost_of(config); };
        return resource_of(detail::config_with_widths(model), cost, std::move(name), part);
      },
      variant());
}

VBP_FUNCTION io::Hash128 AnyModel::fingerprint() const {
  return std::visit([](const auto& model) -> io::Hash128 { return vbp::fingerprint(model); }, variant());
}

VBP_FUNCTION std::vector<Mlp<float>*> AnyModel::mlps() {
  return detail::mlps_of<Mlp<float>*>(variant());
}

VBP_FUNCTION std::vector<const Mlp<float>*> AnyModel::mlps() const {
  return detail::mlps_of<const Mlp<float>*>(variant());
}

VBP_FUNCTION Matrix<double> AnyModel::output_weight(std::size_t block) const {
  return std::visit(
      [&](const auto& model) -> Matrix<double> { return detail::output_weight_of(model, block); }, variant());
}

VBP_FUNCTION void AnyModel::set_class_names(std::vector<std::string> names) {
  std::visit([&](auto& model) -> void { model.config.classes = static_cast<Index>(names.size()); },
             variant());
  checkpoint_.class_names = std::move(names);
}

VBP_FUNCTION AnyModel load_model(const std::filesystem::path& file, const LoadOptions& options) {
  std::map<std::string, std::string> settings = options.settings;
  if (options.image_size && !settings.emplace("image_size", std::to_string(*options.image_size)).second) {
    throw ValueError("image_size is set twice");
  }
  const std::vector<std::string> names = io::SafetensorsFile(file).names();
  // In the variant's order: a Swin Transformer's patch embedding has the name of a Vision Transformer's.
  constexpr AnyModel::Variant* families = nullptr;
  if (auto model = detail::load_as(families, names, file, settings)) return std::move(*model);
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
  std::visit([&](const auto& of) -> void { save_checkpoint(file, model.checkpoint_of(of)); },
             model.variant());
}

VBP_FUNCTION void save_model(const std::filesystem::path& file, const AnyModel& model) {
  io::AtomicFile out(file);
  save_model(out, model);
  out.commit();
}

VBP_FUNCTION AnyModel untrained_model(const std::filesystem::path& file,
                                      const std::map<std::string, std::string>& settings) {
  const std::set<std::string> keys = config_keys(file, settings);
  if (keys.contains("window_size")) return AnyModel(load_config<SwinTransformer<float>>(file, settings));
  if (keys.contains("dims")) return AnyModel(load_config<ConvNext<float>>(file, settings));
  return AnyModel(load_config<VisionTransformer<float>>(file, settings));
}

VBP_FUNCTION void initialise(AnyModel& model, std::uint64_t seed, std::optional<double> layer_scale) {
  std::visit([&]<class M>(M& of) -> void { of = initialise_model<M>(of.config, seed, layer_scale); },
             model.variant());
}

}  // namespace vbp::inline VBP_ABI
