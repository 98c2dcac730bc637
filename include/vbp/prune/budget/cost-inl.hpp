#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "vbp/prune/budget/cost.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION LayerCost linear_cost(std::string name, Index rows, Index in, Index out, bool bias) {
  return {.name = std::move(name),
          .kind = "linear",
          .parameters = in * out + (bias ? out : 0),
          .macs = rows * in * out};
}

VBP_FUNCTION LayerCost patch_embedding_cost(std::string name, Index positions, Index in_channels,
                                            Index kernel, Index out, bool bias) {
  LayerCost cost = linear_cost(std::move(name), positions, in_channels * kernel * kernel, out, bias);
  cost.kind = "patch_embedding";
  return cost;
}

VBP_FUNCTION LayerCost depthwise_cost(std::string name, Index positions, Index channels, Index kernel) {
  return {.name = std::move(name),
          .kind = "depthwise",
          .parameters = channels * kernel * kernel + channels,
          .macs = positions * channels * kernel * kernel};
}

VBP_FUNCTION LayerCost layer_norm_cost(std::string name, Index rows, Index dim) {
  return {.name = std::move(name), .kind = "layer_norm", .parameters = 2 * dim, .norm_elements = rows * dim};
}

VBP_FUNCTION LayerCost pooling_cost(std::string name, Index rows, Index dim) {
  return {.name = std::move(name), .kind = "pooling", .pooled_elements = rows * dim};
}

VBP_FUNCTION LayerCost attention_cost(std::string name, Index tokens, Index dim) {
  return {.name = std::move(name), .kind = "attention", .macs = 2 * tokens * tokens * dim};
}

VBP_FUNCTION LayerCost parameter_cost(std::string name, std::int64_t parameters) {
  return {.name = std::move(name), .kind = "parameters", .parameters = parameters};
}

}  // namespace vbp::inline VBP_ABI
