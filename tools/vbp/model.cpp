#include "model.hpp"

#include <set>
#include <utility>

#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/config_file.hpp"
#include "vbp/models/convnext/cost.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/config_file.hpp"
#include "vbp/models/swin/cost.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/config_file.hpp"
#include "vbp/models/vit/cost.hpp"

namespace tool {

namespace {

using vbp::Index;
using Vit = vbp::VisionTransformer<float>;

// ---- where the families differ ----

const char* family_of(const vbp::VitConfig&) {
  return "Vision Transformer";
}
const char* family_of(const vbp::ConvNextConfig&) {
  return "ConvNeXt";
}
const char* family_of(const vbp::SwinConfig&) {
  return "Swin Transformer";
}

Index stream_rows_of(const vbp::VitConfig& config) {
  return config.tokens();
}
template <class Config>
Index stream_rows_of(const Config& config) {
  return config.pixels(0);
}

Index stream_dim_of(const vbp::VitConfig& config) {
  return config.dim;
}
template <class Config>
Index stream_dim_of(const Config& config) {
  return config.dim(0);
}

std::vector<Stage> stages_of(const vbp::VitConfig&) {
  return {};
}
template <class Config>
std::vector<Stage> stages_of(const Config& config) {
  std::vector<Stage> stages;
  const std::vector<std::string> names = vbp::block_names(config);
  for (Index i = 0; i < config.stages(); ++i) {
    stages.push_back({.name = vbp::stage_name(names[static_cast<std::size_t>(config.first_block(i))]),
                      .side = config.side(i),
                      .dim = config.dim(i),
                      .first_block = config.first_block(i),
                      .blocks = config.depths[static_cast<std::size_t>(i)]});
  }
  return stages;
}

vbp::Cost cost_of_config(const vbp::VitConfig& config) {
  return vbp::vit_cost(config);
}
vbp::Cost cost_of_config(const vbp::ConvNextConfig& config) {
  return vbp::convnext_cost(config);
}
vbp::Cost cost_of_config(const vbp::SwinConfig& config) {
  return vbp::swin_cost(config);
}

void save(vbp::io::AtomicFile& file, const vbp::VitCheckpoint& checkpoint) {
  vbp::save_vit(file, checkpoint);
}
void save(vbp::io::AtomicFile& file, const vbp::ConvNextCheckpoint& checkpoint) {
  vbp::save_convnext(file, checkpoint);
}
void save(vbp::io::AtomicFile& file, const vbp::SwinCheckpoint& checkpoint) {
  vbp::save_swin(file, checkpoint);
}

// ---- the variant ----

template <class M>
Checkpoint any_family(vbp::Checkpoint<M> checkpoint) {
  M model = std::move(checkpoint.model);
  return around<Model>(checkpoint, std::move(model));
}

template <class Mlp, class M>
std::vector<Mlp*> pointers(M& model) {
  std::vector<Mlp*> mlps;
  std::visit(
      [&](auto& of) {
        for (auto& block : of.blocks) mlps.push_back(&block);
      },
      model);
  return mlps;
}

}  // namespace

Facts facts_of(const Model& model) {
  return std::visit(
      [](const auto& of) -> Facts {
        const auto& config = of.config;
        return {.family = family_of(config),
                .architecture = config.architecture,
                .classes = config.classes,
                .outputs = config.outputs(),
                .channels = config.channels,
                .image_elements = config.image_elements(),
                .stream_rows = stream_rows_of(config),
                .stream_dim = stream_dim_of(config),
                .blocks = vbp::block_names(config),
                .hidden_widths = config.hidden_widths,
                .stages = stages_of(config)};
      },
      model);
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
  if (vbp::is_convnext(names)) return any_family(vbp::load_convnext(file, options));
  // Before the Vision Transformer, whose patch embedding has the same name.
  if (vbp::is_swin(names)) return any_family(vbp::load_swin(file, options));
  if (vbp::is_vit(names)) return any_family(vbp::load_vit(file, options));
  throw vbp::FileError(
      file,
      "holds no model of a known family: none of patch_embed.proj.weight (Vision Transformer, timm), "
      "embeddings.patch_embeddings.projection.weight (Vision Transformer, Hugging Face; alone or after vit., "
      "deit., dinov2. or dinov2_with_registers.), stem.0.weight (ConvNeXt, timm), "
      "embeddings.patch_embeddings.weight (ConvNeXt, Hugging Face; alone or after convnext.), "
      "layers.0.blocks.0.norm1.weight (Swin Transformer, timm) and "
      "encoder.layers.0.blocks.0.layernorm_before.weight (Swin Transformer, Hugging Face; alone or after "
      "swin.) is among its " +
          std::to_string(names.size()) + " tensors");
}

void save_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint) {
  std::visit([&](const auto& model) { save(file, around(checkpoint, model)); }, checkpoint.model);
}

Checkpoint load_config(const std::string& file, const std::map<std::string, std::string>& options) {
  const std::set<std::string> keys = vbp::config_keys(file, options);
  if (keys.contains("window_size")) return any_family(vbp::load_swin_config(file, options));
  if (keys.contains("dims")) return any_family(vbp::load_convnext_config(file, options));
  return any_family(vbp::load_vit_config(file, options));
}

void set_classes(Model& model, Index classes) {
  std::visit([&](auto& of) { of.config.classes = classes; }, model);
}

const Vit& vit_of(const Model& model) {
  return std::get<Vit>(model);
}

std::vector<vbp::Mlp<float>*> mlps_of(Model& model) {
  return pointers<vbp::Mlp<float>>(model);
}

std::vector<const vbp::Mlp<float>*> mlps_of(const Model& model) {
  return pointers<const vbp::Mlp<float>>(model);
}

vbp::Matrix<double> landing_weight(const Model& model, std::size_t block) {
  return std::visit(
      [&](const auto& of) {
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
