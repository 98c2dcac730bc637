#pragma once
/// Bodies of cost.hpp.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Cost cost_of(const VitConfig& config) {
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
  const std::vector<std::string> names = block_names(config);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
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
