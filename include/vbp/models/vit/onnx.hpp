#pragma once
/// A Vision Transformer as an ONNX graph: see onnx_graph in onnx_export.hpp.

#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/onnx_export.hpp"
#include "vbp/models/onnx_layers-inl.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

namespace onnx_detail {

/// The residual stream that enters the first block, [n * tokens, dim]. What does not depend on the image is
/// [1, tokens, dim], so that adding it needs no shape of the batch; runtimes compute it once.
template <class Graph>
std::string embed(Graph& graph, const VitConfig& config) {
  const Index prefix = config.prefix_tokens();
  const std::string maps =
      convolution(graph, "patch_embed.proj", kImages, config.patch_size, config.patch_size);
  const std::string flat = reshape(graph, "patch_embed.flat", maps, {0, config.dim, config.patches()});
  const std::string patches = transpose(graph, "patch_embed", flat, {0, 2, 1});
  std::string start = "pos_embed", stream = patches;
  if (prefix > 0) {
    std::vector<std::string> tokens;
    if (config.class_token) tokens.emplace_back("cls_token");
    if (config.distillation_token) tokens.emplace_back("dist_token");
    if (config.register_tokens > 0) tokens.emplace_back("reg_token");
    if (config.position_covers_prefix) {
      const std::string together = graph.node("prefix_tokens", "Concat", tokens, {{"axis", 1}});
      const std::string padded = graph.node("prefix_tokens.padded", "Pad",
                                            {together, graph.list({0, 0, 0, 0, config.patches(), 0})});
      start = graph.node("start", "Add", {padded, "pos_embed"});
    } else {
      tokens.emplace_back("pos_embed");
      start = graph.node("start", "Concat", tokens, {{"axis", 1}});
    }
    stream = graph.node("patch_embed.padded", "Pad", {patches, graph.list({0, prefix, 0, 0, 0, 0})});
  }
  return reshape(graph, "embedded.rows", graph.node("embedded", "Add", {stream, start}), {-1, config.dim});
}

/// The logits, from the rows that leave the last block. Unless all tokens are averaged, only those that are
/// read are normalised.
template <class Graph>
std::string finish(Graph& graph, const VitConfig& config, std::string stream) {
  const bool averages = config.pooling != Pooling::class_token;
  if (averages && config.norm) stream = layer_norm(graph, "norm", stream, config.epsilon);
  const std::string tokens = reshape(graph, "tokens", stream, {-1, config.tokens(), config.dim});
  std::string features;
  if (config.pooling != Pooling::average) features = pick(graph, "pooled.cls_token", tokens, 1, 0);
  if (averages) {
    const Index prefix = config.prefix_tokens();
    const std::string patches = graph.node(
        "pooled.patches", "Slice",
        {tokens, graph.list({prefix}), graph.list({config.tokens()}), graph.list({1}), graph.list({1})});
    const std::string mean = graph.node("pooled.mean", "ReduceMean", {patches},
                                        {{"axes", std::vector<Index>{1}}, {"keepdims", 0}});
    features = features.empty() ? mean : graph.node("pooled", "Concat", {features, mean}, {{"axis", 1}});
  } else if (config.norm) {
    features = layer_norm(graph, "norm", features, config.epsilon);
  }
  if (config.fc_norm) features = layer_norm(graph, "fc_norm", features, config.epsilon);
  if (config.classes == 0) return features;
  const std::string logits = linear(graph, "head", features);
  if (!config.distillation_token) return logits;
  std::string distilled = pick(graph, "pooled.dist_token", tokens, 1, 1);
  if (config.norm) distilled = layer_norm(graph, "norm", distilled, config.epsilon, "norm.dist_token");
  const std::string both = graph.node("heads", "Add", {logits, linear(graph, "head_dist", distilled)});
  return graph.node("heads.mean", "Mul", {both, graph.number(0.5F)});
}

}  // namespace onnx_detail

/// The forward pass: see onnx_graph.
template <class Graph>
std::string add_network(Graph& graph, const VitConfig& config) {
  using namespace onnx_detail;
  std::string stream = embed(graph, config);
  for (const std::string& block : block_names(config)) {
    const std::string normal = layer_norm(graph, block + ".norm1", stream, config.epsilon);
    const std::string attended =
        attention(graph, block + ".attn", normal,
                  {.tokens = config.tokens(), .heads = config.heads, .head_dim = config.head_dim()});
    stream = residual(graph, block + ".residual1", stream, attended, block + ".ls1.gamma");
    stream = mlp_branch(graph, block, stream, config.epsilon, config.activation);
  }
  return finish(graph, config, stream);
}

}  // namespace vbp::inline VBP_ABI
