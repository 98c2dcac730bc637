#pragma once
/// Networks of stages, whose feature maps get smaller and wider from one to the next: their parameters.

#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/config_checks.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/parameters.hpp"

namespace vbp::inline VBP_ABI {

/// A configuration of stages: it has `kLayout`, a StageLayout.
template <class Config>
concept StageConfig = requires {
  Config::kLayout;
};

/// A model, const or not, with such a configuration.
template <class Model>
concept StageModelType = StageConfig<typename Model::Config>;

/// A stage's feature maps and blocks.
struct Stage {
  std::string name;  ///< "stages.2"
  Index side = 0;    ///< pixels on a side of its maps
  Index dim = 0;     ///< width of a pixel
  Index first_block = 0;
  Index blocks = 0;
};

/// What lies between two stages: a layer norm, and a linear layer that makes one pixel of the next map out of
/// a square of 2 x 2 pixels.
template <class T>
struct StageTransition {
  LayerNorm<T> norm;
  Linear<T> reduction;
};

/// What the models of stages consist of; the family says what a block is.
template <class T, class C, class Block>
struct StageModel {
  using Scalar = T;
  using Config = C;

  Config config;
  Linear<T> embedding;  ///< [first dim, channels * patch * patch], a pixel's index runs channel, row, column
  LayerNorm<T> embedding_norm;
  std::vector<StageTransition<T>> transitions;  ///< before each stage but the first
  std::vector<Block> blocks;                    ///< stage after stage
  LayerNorm<T> norm;                            ///< the last one
  Linear<T> head;                               ///< [classes, last dim]
};

template <StageConfig Config>
std::string stage_name(const Config&, Index stage) {
  return Config::kLayout.stages + std::to_string(stage);
}

/// The name of a block, counted from the stage's first one.
template <StageConfig Config>
std::string block_name(const Config& config, Index stage, Index block) {
  return stage_name(config, stage) + ".blocks." + std::to_string(block);
}

template <StageConfig Config>
std::string transition_name(const Config& config, Index stage) {
  return stage_name(config, stage) + ".downsample";
}

/// The blocks' names, in order: those of checkpoints, reports, plans and calibration files.
template <StageConfig Config>
std::vector<std::string> block_names(const Config& config) {
  std::vector<std::string> names;
  for (Index stage = 0; stage < config.stages(); ++stage) {
    for (Index i = 0; i < config.depths[static_cast<std::size_t>(stage)]; ++i) {
      names.push_back(block_name(config, stage, i));
    }
  }
  return names;
}

/// The stages, in order.
template <StageConfig Config>
std::vector<Stage> stages_of(const Config& config) {
  std::vector<Stage> stages;
  for (Index i = 0; i < config.stages(); ++i) {
    stages.push_back({.name = stage_name(config, i),
                      .side = config.side(i),
                      .dim = config.dim(i),
                      .first_block = config.first_block(i),
                      .blocks = config.depths[static_cast<std::size_t>(i)]});
  }
  return stages;
}

/// Calls visit(name, parameter, rows, cols) for every parameter that the configuration asks for, in the order
/// in which a forward pass meets them, with timm's tensor name and the shape it must have (cols is 1 for a
/// vector). The parameters of a block are named by the family, in for_each_block_parameter.
template <StageModelType Model, class Visitor>
void for_each_parameter(Model& model, Visitor&& visit) {
  const auto& config = model.config;
  constexpr auto layout = Model::Config::kLayout;
  ParameterNames<std::remove_reference_t<Visitor>> name_of{visit};
  name_of.linear(layout.embedding, model.embedding, config.dim(0), config.patch_elements());
  name_of.layer_norm(layout.embedding_norm, model.embedding_norm, config.dim(0));
  const std::vector<std::string> names = block_names(config);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    if (stage > 0) {
      auto& transition = model.transitions[static_cast<std::size_t>(stage - 1)];
      const std::string name = transition_name(config, stage);
      const Index square = 4 * config.dim(stage - 1);
      name_of.layer_norm(name + layout.transition_norm, transition.norm,
                         layout.merges_before_norm ? square : config.dim(stage - 1));
      name_of.linear(name + layout.reduction, transition.reduction, config.dim(stage), square,
                     !layout.merges_before_norm);
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const auto i = static_cast<std::size_t>(b);
      for_each_block_parameter(config, stage, names[i], model.blocks[i], name_of);
    }
  }
  name_of.layer_norm(layout.norm, model.norm, config.dims.back());
  if (config.classes > 0) name_of.linear("head.fc", model.head, config.classes, config.dims.back());
}

}  // namespace vbp::inline VBP_ABI
