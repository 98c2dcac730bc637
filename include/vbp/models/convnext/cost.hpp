#pragma once
/// What a ConvNeXt costs: see cost_of in stage_cost.hpp.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/stage_cost.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

template <class Layers>
void add_block_cost(const ConvNextConfig& config, Index stage, const std::string& name, Index hidden,
                    Layers& layers) {
  const Index dim = config.dim(stage);
  const Index pixels = config.pixels(stage);
  layers.push_back(depthwise_cost(name + ".conv_dw", pixels, dim, 7));
  layers.push_back(layer_norm_cost(name + ".norm", pixels, dim));
  layers.push_back(linear_cost(name + ".mlp.fc1", pixels, dim, hidden));
  layers.push_back(linear_cost(name + ".mlp.fc2", pixels, hidden, dim));
  if (config.layer_scale) layers.push_back(parameter_cost(name + ".gamma", dim));
}

template <class Layers>
void add_pooling_cost(const ConvNextConfig& config, Layers& layers) {
  const Index dim = config.dims.back();
  layers.push_back(pooling_cost("head.global_pool", config.pixels(config.stages() - 1), dim));
  layers.push_back(layer_norm_cost("head.norm", 1, dim));
}

}  // namespace vbp::inline VBP_ABI
