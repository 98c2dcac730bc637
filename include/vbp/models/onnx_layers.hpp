#pragma once
/// What the families' ONNX graphs share. A layer is told by its name: its parameters are the initialisers
/// below that name, which are all the parameters of the model under timm's names and in timm's shapes.

#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::onnx_detail {

using io::OnnxGraph;

inline constexpr const char* kImages = "images";

/// A graph with the input that every family has.
template <class Config>
OnnxGraph begin_graph(const Config& config) {
  OnnxGraph graph(config.architecture.empty() ? "model" : config.architecture);
  graph.input(kImages, {io::kOnnxBatch, config.channels, config.image_size, config.image_size});
  return graph;
}

/// Makes this value the output.
template <class Config>
void end_graph(OnnxGraph& graph, const Config& config, const std::string& result) {
  graph.output(graph.node(config.classes > 0 ? "logits" : "features", "Identity", {result}),
               {io::kOnnxBatch, config.outputs()});
}

/// Every parameter of the model as an initialiser; shape_of(name, rows, cols, vector) is its tensor's shape.
template <class Model, class ShapeOf>
void add_parameters(OnnxGraph& graph, const Model& model, ShapeOf&& shape_of) {
  for_each_parameter(model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
    graph.initializer(name, shape_of(name, rows, cols, values.IsVectorAtCompileTime),
                      std::span(values.data(), static_cast<std::size_t>(values.size())));
  });
}

/// The layer's weight, and its bias where it has one, behind the input.
inline std::vector<std::string> inputs_of(const OnnxGraph& graph, const std::string& layer,
                                          const std::string& x) {
  std::vector<std::string> inputs{x, layer + ".weight"};
  if (graph.has_initializer(layer + ".bias")) inputs.push_back(layer + ".bias");
  return inputs;
}

/// Of rows [n, in]. Gemm alone reads weights as PyTorch keeps them, [out, in], and takes the bias along.
inline std::string linear(OnnxGraph& graph, const std::string& layer, const std::string& x) {
  return graph.node(layer, "Gemm", inputs_of(graph, layer, x), {{"transB", 1}});
}

/// A convolution of maps [n, channels, height, width] with square kernels.
inline std::string convolution(OnnxGraph& graph, const std::string& layer, const std::string& x, Index kernel,
                               Index stride, Index padding = 0, Index groups = 1) {
  return graph.node(layer, "Conv", inputs_of(graph, layer, x),
                    {{"kernel_shape", {kernel, kernel}},
                     {"strides", {stride, stride}},
                     {"pads", {padding, padding, padding, padding}},
                     {"group", groups}});
}

/// Of the last dimension. `name` is that of the node where a layer is applied more than once.
inline std::string layer_norm(OnnxGraph& graph, const std::string& layer, const std::string& x,
                              double epsilon, const std::string& name = {}) {
  return graph.node(name.empty() ? layer : name, "LayerNormalization", inputs_of(graph, layer, x),
                    {{"axis", -1}, {"epsilon", static_cast<float>(epsilon)}});
}

inline std::string reshape(OnnxGraph& graph, const std::string& name, const std::string& x,
                           const std::vector<Index>& shape) {
  return graph.node(name, "Reshape", {x, graph.list(shape)});
}

inline std::string transpose(OnnxGraph& graph, const std::string& name, const std::string& x,
                             const std::vector<Index>& permutation) {
  return graph.node(name, "Transpose", {x}, {{"perm", permutation}});
}

/// One place of a dimension, which is no dimension of the result any more.
inline std::string pick(OnnxGraph& graph, const std::string& name, const std::string& x, Index axis,
                        Index place) {
  return graph.node(name, "Gather", {x, graph.whole_number(place)}, {{"axis", axis}});
}

/// Opset 17 has no GELU. These are the sequences by which runtimes know it and put their own in its place.
inline std::string activation(OnnxGraph& graph, const std::string& name, const std::string& x,
                              Activation activation) {
  if (activation == Activation::gelu) {
    const std::string scaled =
        graph.node(name + ".scaled", "Div", {x, graph.number(static_cast<float>(std::sqrt(2.0)))});
    const std::string erf = graph.node(name + ".erf", "Erf", {scaled});
    const std::string raised = graph.node(name + ".raised", "Add", {erf, graph.number(1.0F)});
    const std::string product = graph.node(name + ".product", "Mul", {x, raised});
    return graph.node(name, "Mul", {product, graph.number(0.5F)});
  }
  // sqrt(2 / pi) (x + 0.044715 x^3)
  const std::string cube = graph.node(name + ".cube", "Pow", {x, graph.number(3.0F)});
  const std::string small = graph.node(name + ".small", "Mul", {cube, graph.number(0.044715F)});
  const std::string sum = graph.node(name + ".sum", "Add", {x, small});
  const std::string scaled =
      graph.node(name + ".scaled", "Mul",
                 {sum, graph.number(static_cast<float>(std::sqrt(2.0 * std::numbers::inv_pi)))});
  const std::string tanh = graph.node(name + ".tanh", "Tanh", {scaled});
  const std::string raised = graph.node(name + ".raised", "Add", {tanh, graph.number(1.0F)});
  const std::string half = graph.node(name + ".half", "Mul", {x, graph.number(0.5F)});
  return graph.node(name, "Mul", {half, raised});
}

/// fc2(activation(fc1(x))) of rows.
inline std::string feed_forward(OnnxGraph& graph, const std::string& name, const std::string& x,
                                Activation kind) {
  const std::string hidden = activation(graph, name + ".act", linear(graph, name + ".fc1", x), kind);
  return linear(graph, name + ".fc2", hidden);
}

/// What attention takes place between. `windows` is 0 where an image's tokens are one sequence.
struct AttentionShape {
  Index tokens = 0;
  Index heads = 0;
  Index head_dim = 0;
  Index windows = 0;
};

/// Attention of rows [n * tokens, dim], of windows [n * windows * tokens, dim], its projections included.
/// `bias` is added to the scaled scores [n, heads, tokens, tokens], of windows [n, windows, heads, tokens,
/// tokens].
inline std::string attention(OnnxGraph& graph, const std::string& name, const std::string& x,
                             const AttentionShape& shape, const std::string& bias = {}) {
  std::vector<Index> split{-1, shape.tokens, 3, shape.heads, shape.head_dim};
  std::vector<Index> to_parts{2, 0, 3, 1, 4}, to_tokens{0, 2, 1, 3}, to_transposed{0, 1, 3, 2};
  if (shape.windows > 0) {
    split.insert(split.begin() + 1, shape.windows);
    to_parts = {3, 0, 1, 4, 2, 5};
    to_tokens = {0, 1, 3, 2, 4};
    to_transposed = {0, 1, 2, 4, 3};
  }
  const std::string qkv = reshape(graph, name + ".qkv.split", linear(graph, name + ".qkv", x), split);
  const std::string parts = transpose(graph, name + ".qkv.parts", qkv, to_parts);
  const std::string queries = pick(graph, name + ".queries", parts, 0, 0);
  const std::string keys = pick(graph, name + ".keys", parts, 0, 1);
  const std::string values = pick(graph, name + ".values", parts, 0, 2);
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  const std::string scaled = graph.node(name + ".queries.scaled", "Mul", {queries, graph.number(scale)});
  const std::string transposed = transpose(graph, name + ".keys.transposed", keys, to_transposed);
  std::string scores = graph.node(name + ".scores", "MatMul", {scaled, transposed});
  if (!bias.empty()) scores = graph.node(name + ".scores.biased", "Add", {scores, bias});
  const std::string weights = graph.node(name + ".softmax", "Softmax", {scores}, {{"axis", -1}});
  const std::string sums = graph.node(name + ".sums", "MatMul", {weights, values});
  const std::string rows = reshape(graph, name + ".rows", transpose(graph, name + ".tokens", sums, to_tokens),
                                   {-1, shape.heads * shape.head_dim});
  return linear(graph, name + ".proj", rows);
}

/// Pixels as rows, [n * side * side, dim], of maps [n, dim, side, side], which convolutions read and write.
inline std::string rows_of(OnnxGraph& graph, const std::string& name, const std::string& maps, Index dim) {
  return reshape(graph, name + ".rows", transpose(graph, name + ".channels_last", maps, {0, 2, 3, 1}),
                 {-1, dim});
}

/// The mean [n, dim] over an image's rows, of [n * rows, dim].
inline std::string mean_of_rows(OnnxGraph& graph, const std::string& name, const std::string& x, Index rows,
                                Index dim) {
  return graph.node(name, "ReduceMean", {reshape(graph, name + ".rows", x, {-1, rows, dim})},
                    {{"axes", std::vector<Index>{1}}, {"keepdims", 0}});
}

/// The stream with what a branch adds to it, multiplied with the layer scale of that name if there is one.
inline std::string residual(OnnxGraph& graph, const std::string& name, const std::string& stream,
                            std::string branch, const std::string& scale = {}) {
  if (graph.has_initializer(scale)) branch = graph.node(name + ".scaled", "Mul", {branch, scale});
  return graph.node(name, "Add", {stream, branch});
}

}  // namespace vbp::onnx_detail
