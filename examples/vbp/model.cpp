#include "model.hpp"

#include <type_traits>
#include <utility>

#include "vbp/convnext/checkpoint.hpp"
#include "vbp/convnext/cost.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/vit/checkpoint.hpp"
#include "vbp/vit/cost.hpp"

namespace tool {

namespace {

using vbp::Index;
using Vit = vbp::VisionTransformer<float>;
using ConvNext = vbp::ConvNext<float>;

const char* family_of(const vbp::VitConfig&) {
  return "Vision Transformer";
}
const char* family_of(const vbp::ConvNextConfig&) {
  return "ConvNeXt";
}

vbp::Cost cost_of_config(const vbp::VitConfig& config) {
  return vbp::vit_cost(config);
}
vbp::Cost cost_of_config(const vbp::ConvNextConfig& config) {
  return vbp::convnext_cost(config);
}

void save(vbp::io::AtomicFile& file, const vbp::VitCheckpoint& checkpoint) {
  vbp::save_vit(file, checkpoint);
}
void save(vbp::io::AtomicFile& file, const vbp::ConvNextCheckpoint& checkpoint) {
  vbp::save_convnext(file, checkpoint);
}

/// The same checkpoint around another type of model.
template <class To, class From, class Made>
vbp::Checkpoint<To> around(const vbp::Checkpoint<From>& from, Made&& model) {
  return {from.path,   std::forward<Made>(model), from.preprocessing, from.class_names, from.metadata,
          from.values, from.unresolved,           from.ignored};
}

template <class M>
Checkpoint any(vbp::Checkpoint<M> checkpoint) {
  M model = std::move(checkpoint.model);
  return around<Model>(checkpoint, std::move(model));
}

template <class M>
Facts facts(const M& model) {
  const auto& config = model.config;
  return {.family = family_of(config),
          .architecture = config.architecture,
          .classes = config.classes,
          .outputs = config.outputs(),
          .image_elements = config.image_elements(),
          .blocks = vbp::block_names(config),
          .hidden_widths = config.hidden_widths};
}

}  // namespace

Facts facts_of(const Model& model) {
  return std::visit([](const auto& of) { return facts(of); }, model);
}

Facts facts_of(const Vit& model) {
  return facts(model);
}

vbp::Cost cost_of(const Model& model) {
  return std::visit([](const auto& of) { return cost_of_config(of.config); }, model);
}

vbp::Resource resource_of(const Model& model, std::string name,
                          std::int64_t (vbp::Cost::*part)() const noexcept) {
  return std::visit(
      [&](const auto& of) {
        const auto cost = [](const auto& config) { return cost_of_config(config); };
        return vbp::resource_of(of.config, cost, std::move(name), part);
      },
      model);
}

vbp::io::Hash128 fingerprint(const Model& model) {
  return std::visit([](const auto& of) { return vbp::fingerprint(of); }, model);
}

Checkpoint load_checkpoint(const std::string& file, const std::map<std::string, std::string>& options) {
  const std::vector<std::string> names = vbp::io::SafetensorsFile(file).names();
  if (vbp::is_convnext(names)) return any(vbp::load_convnext(file, options));
  if (vbp::is_vit(names)) return any(vbp::load_vit(file, options));
  throw vbp::FileError(
      file,
      "holds no model of a known family: among its " + std::to_string(names.size()) +
          " tensors is neither patch_embed.proj.weight (a Vision Transformer of timm's), "
          "embeddings.patch_embeddings.projection.weight (of Hugging Face's), stem.0.weight (a ConvNeXt "
          "of timm's) nor embeddings.patch_embeddings.weight (of Hugging Face's)");
}

void save_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint) {
  std::visit(
      [&](const auto& model) { save(file, around<std::remove_cvref_t<decltype(model)>>(checkpoint, model)); },
      checkpoint.model);
}

vbp::VitCheckpoint require_vit(Checkpoint checkpoint, const std::string& what) {
  if (!std::holds_alternative<Vit>(checkpoint.model)) {
    throw vbp::FileError(checkpoint.path, "is a " + facts_of(checkpoint.model).family + "; " + what +
                                              " is for Vision Transformers alone");
  }
  Vit model = std::move(std::get<Vit>(checkpoint.model));
  return around<Vit>(checkpoint, std::move(model));
}

std::vector<vbp::FeedForward<float>*> mlps_of(Model& model) {
  std::vector<vbp::FeedForward<float>*> mlps;
  std::visit(
      [&](auto& of) {
        for (auto& block : of.blocks) mlps.push_back(&block);
      },
      model);
  return mlps;
}

vbp::Matrix<double> landing_weight(const Model& model, std::size_t block) {
  return std::visit(
      [&](const auto& of) -> vbp::Matrix<double> {
        const auto& found = of.blocks[block];
        vbp::Matrix<double> weight = found.fc2.weight.template cast<double>();
        const vbp::Vector<float>& scale = found.output_scale();
        if (scale.size() > 0) weight = scale.template cast<double>().asDiagonal() * weight;
        return weight;
      },
      model);
}

void update_widths(Model& model) {
  std::visit([](auto& of) { of.update_widths(); }, model);
}

}  // namespace tool
