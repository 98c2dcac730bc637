#pragma once
/// What a ConvNeXt costs, layer by layer, from its configuration alone.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

/// Parameters, multiply-accumulates and LayerNorm elements of a forward pass over one image, in the order in
/// which the pass meets the layers; names are those of the checkpoint's tensors. Counted are every
/// convolution, the linear layers over all pixels, and the head.
inline Cost convnext_cost(const ConvNextConfig& config) {
  Cost cost;
  auto& layers = cost.layers;
  const std::vector<std::string> names = block_names(config);
  layers.push_back(
      patch_embedding_cost("stem.0", config.pixels(0), config.channels, config.patch_size, config.dim(0)));
  layers.push_back(layer_norm_cost("stem.1", config.pixels(0), config.dim(0)));
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    const Index dim = config.dim(stage);
    const Index pixels = config.pixels(stage);
    if (stage > 0) {
      const Index before = config.dim(stage - 1);
      const std::string name = "stages." + std::to_string(stage) + ".downsample";
      layers.push_back(layer_norm_cost(name + ".0", config.pixels(stage - 1), before));
      layers.push_back(patch_embedding_cost(name + ".1", pixels, before, 2, dim));
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const std::string& name = names[static_cast<std::size_t>(b)];
      const Index hidden = config.hidden_widths[static_cast<std::size_t>(b)];
      layers.push_back(depthwise_cost(name + ".conv_dw", pixels, dim, 7));
      layers.push_back(layer_norm_cost(name + ".norm", pixels, dim));
      layers.push_back(linear_cost(name + ".mlp.fc1", pixels, dim, hidden));
      layers.push_back(linear_cost(name + ".mlp.fc2", pixels, hidden, dim));
      if (config.layer_scale) layers.push_back(parameter_cost(name + ".gamma", dim));
    }
  }
  layers.push_back(pooling_cost("head.global_pool", config.pixels(config.stages() - 1), config.dims.back()));
  layers.push_back(layer_norm_cost("head.norm", 1, config.dims.back()));
  if (config.classes > 0) layers.push_back(linear_cost("head.fc", 1, config.dims.back(), config.classes));
  return cost;
}

}  // namespace vbp::inline VBP_ABI
