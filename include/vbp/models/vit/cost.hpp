#pragma once
/// What a Vision Transformer costs, layer by layer, from its configuration alone.

#include <cstddef>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

/// Parameters, multiply-accumulates and LayerNorm elements of a forward pass over one image, in the order in
/// which the pass meets the layers; names are those of the checkpoint's tensors. Counted are the patch
/// embedding, every linear layer over all tokens, the two attention products, and the heads on the pooled
/// features. Heads and epsilon play no part, so a configuration that lacks them has a cost too.
inline Cost vit_cost(const VitConfig& config) {
  const Index dim = config.dim;
  const Index tokens = config.tokens();
  Cost cost;
  auto& layers = cost.layers;
  layers.push_back(
      patch_embedding_cost("patch_embed.proj", config.patches(), config.channels, config.patch_size, dim));
  if (config.class_token) layers.push_back(parameter_cost("cls_token", dim));
  if (config.distillation_token) layers.push_back(parameter_cost("dist_token", dim));
  if (config.register_tokens > 0) {
    layers.push_back(parameter_cost("reg_token", config.register_tokens * dim));
  }
  layers.push_back(
      parameter_cost("pos_embed", (config.position_covers_prefix ? tokens : config.patches()) * dim));
  for (std::size_t i = 0; i < config.hidden_widths.size(); ++i) {
    const std::string name = VisionTransformer<float>::block_name(static_cast<Index>(i));
    const Index hidden = config.hidden_widths[i];
    layers.push_back(layer_norm_cost(name + ".norm1", tokens, dim));
    layers.push_back(linear_cost(name + ".attn.qkv", tokens, dim, 3 * dim, config.qkv_bias));
    layers.push_back(attention_cost(name + ".attn", tokens, dim));
    layers.push_back(linear_cost(name + ".attn.proj", tokens, dim, dim));
    if (config.layer_scale) layers.push_back(parameter_cost(name + ".ls1", dim));
    layers.push_back(layer_norm_cost(name + ".norm2", tokens, dim));
    layers.push_back(linear_cost(name + ".mlp.fc1", tokens, dim, hidden));
    layers.push_back(linear_cost(name + ".mlp.fc2", tokens, hidden, dim));
    if (config.layer_scale) layers.push_back(parameter_cost(name + ".ls2", dim));
  }
  if (config.norm) layers.push_back(layer_norm_cost("norm", tokens, dim));
  if (config.fc_norm) layers.push_back(layer_norm_cost("fc_norm", 1, config.pooled_features()));
  if (config.classes > 0) {
    layers.push_back(linear_cost("head", 1, config.pooled_features(), config.classes));
    if (config.distillation_token) layers.push_back(linear_cost("head_dist", 1, dim, config.classes));
  }
  return cost;
}

}  // namespace vbp::inline VBP_ABI
