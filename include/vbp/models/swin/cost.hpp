#pragma once
/// What a Swin Transformer costs: see cost_of in stage_cost.hpp.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/stage_cost.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

/// Attention is counted over all windows, the pixels that fill them up included.
template <class Layers>
void add_block_cost(const SwinConfig& config, Index stage, const std::string& name, Index hidden,
                    Layers& layers) {
  const Index dim = config.dim(stage);
  const Index pixels = config.pixels(stage);
  const Index window = config.window(stage);
  const Index windows_on_side = (config.side(stage) + window - 1) / window;
  LayerCost attention = attention_cost(name + ".attn", window * window, dim);
  attention.macs *= windows_on_side * windows_on_side;
  layers.push_back(layer_norm_cost(name + ".norm1", pixels, dim));
  layers.push_back(linear_cost(name + ".attn.qkv", pixels, dim, 3 * dim, config.qkv_bias));
  layers.push_back(parameter_cost(name + ".attn.relative_position_bias_table",
                                  config.bias_rows(stage) * config.head_count(stage)));
  layers.push_back(attention);
  layers.push_back(linear_cost(name + ".attn.proj", pixels, dim, dim));
  layers.push_back(layer_norm_cost(name + ".norm2", pixels, dim));
  layers.push_back(linear_cost(name + ".mlp.fc1", pixels, dim, hidden));
  layers.push_back(linear_cost(name + ".mlp.fc2", pixels, hidden, dim));
}

template <class Layers>
void add_pooling_cost(const SwinConfig& config, Layers& layers) {
  layers.push_back(layer_norm_cost("norm", config.pixels(config.stages() - 1), config.dims.back()));
}

}  // namespace vbp::inline VBP_ABI
