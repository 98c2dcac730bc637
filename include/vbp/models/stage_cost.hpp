#pragma once
/// What networks of stages cost, layer by layer, from their configuration alone.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The layers before a stage but the first.
template <StageConfig Config>
void add_transition_cost(const Config& config, Index stage, std::vector<LayerCost>& layers) {
  const std::string name = transition_name(config, stage);
  const Index before = config.dim(stage - 1);
  const Index pixels = config.pixels(stage);
  if (config.kLayout.merges_before_norm) {
    layers.push_back(layer_norm_cost(name + config.kLayout.transition_norm, pixels, 4 * before));
    layers.push_back(
        linear_cost(name + config.kLayout.reduction, pixels, 4 * before, config.dim(stage), false));
  } else {
    layers.push_back(
        layer_norm_cost(name + config.kLayout.transition_norm, config.pixels(stage - 1), before));
    layers.push_back(
        patch_embedding_cost(name + config.kLayout.reduction, pixels, before, 2, config.dim(stage)));
  }
}

}  // namespace detail

/// Parameters, multiply-accumulates and LayerNorm elements of a forward pass over one image, in the order in
/// which the pass meets the layers; names are those of the checkpoint's tensors. Counted are every
/// convolution, every linear layer over all pixels, the products of attention, and the head. The family's
/// cost.hpp has add_block_cost(config, stage, name, hidden width, layers), and add_pooling_cost(config,
/// layers), which covers what lies between the last map and the head.
template <StageConfig Config>
Cost cost_of(const Config& config) {
  Cost cost;
  auto& layers = cost.layers;
  const std::vector<std::string> names = block_names(config);
  layers.push_back(patch_embedding_cost(config.kLayout.embedding, config.pixels(0), config.channels,
                                        config.patch_size, config.dim(0)));
  layers.push_back(layer_norm_cost(config.kLayout.embedding_norm, config.pixels(0), config.dim(0)));
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    if (stage > 0) detail::add_transition_cost(config, stage, layers);
    for (; b < config.first_block(stage + 1); ++b) {
      const auto i = static_cast<std::size_t>(b);
      add_block_cost(config, stage, names[i], config.hidden_widths[i], layers);
    }
  }
  add_pooling_cost(config, layers);
  if (config.classes > 0) layers.push_back(linear_cost("head.fc", 1, config.dims.back(), config.classes));
  return cost;
}

}  // namespace vbp::inline VBP_ABI
