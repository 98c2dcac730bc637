#pragma once
/// What a Swin Transformer costs, layer by layer, from its configuration alone.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

/// Parameters, multiply-accumulates and LayerNorm elements of a forward pass over one image, in the order in
/// which the pass meets the layers; names are those of the checkpoint's tensors. Counted are the patch
/// embedding, every linear layer over all pixels, the two attention products over all windows, whatever fills
/// them up included, and the head.
inline Cost swin_cost(const SwinConfig& config) {
  Cost cost;
  auto& layers = cost.layers;
  const std::vector<std::string> names = block_names(config);
  layers.push_back(patch_embedding_cost("patch_embed.proj", config.pixels(0), config.channels,
                                        config.patch_size, config.dim(0)));
  layers.push_back(layer_norm_cost("patch_embed.norm", config.pixels(0), config.dim(0)));
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    const Index dim = config.dim(stage);
    const Index pixels = config.pixels(stage);
    const Index window = config.window(stage);
    const Index windows_on_side = (config.side(stage) + window - 1) / window;
    if (stage > 0) {
      const Index merged = 4 * config.dim(stage - 1);
      const std::string name = "layers." + std::to_string(stage) + ".downsample";
      layers.push_back(layer_norm_cost(name + ".norm", pixels, merged));
      layers.push_back(linear_cost(name + ".reduction", pixels, merged, dim, false));
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const std::string& name = names[static_cast<std::size_t>(b)];
      const Index hidden = config.hidden_widths[static_cast<std::size_t>(b)];
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
  }
  layers.push_back(layer_norm_cost("norm", config.pixels(config.stages() - 1), config.dims.back()));
  if (config.classes > 0) layers.push_back(linear_cost("head.fc", 1, config.dims.back(), config.classes));
  return cost;
}

}  // namespace vbp::inline VBP_ABI
