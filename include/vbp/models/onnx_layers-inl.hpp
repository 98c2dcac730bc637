#pragma once
/// Layers of ONNX graphs. A layer is identified by its name: its parameters are the initialisers below that
/// name. They are all the parameters of the model, under timm's names and in timm's shapes. `Graph` is
/// io::OnnxGraph.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI::onnx_detail {

inline constexpr const char* kImages = "images";

/// The input, the layer's weight, and its bias if it has one.
template <class Graph>
std::vector<std::string> inputs_of(const Graph& graph, const std::string& layer, const std::string& x) {
  std::vector<std::string> inputs{x, layer + ".weight"};
  if (graph.has_initializer(layer + ".bias")) inputs.push_back(layer + ".bias");
  return inputs;
}

/// A linear layer of rows [n, in]. Gemm alone reads weights as PyTorch keeps them, [out, in], and adds the
/// bias.
template <class Graph>
std::string linear(Graph& graph, const std::string& layer, const std::string& x) {
  return graph.node(layer, "Gemm", inputs_of(graph, layer, x), {{"transB", 1}});
}

/// A convolution of maps [n, channels, height, width] with square kernels.
template <class Graph>
std::string convolution(Graph& graph, const std::string& layer, const std::string& x, Index kernel,
                        Index stride, Index padding = 0, Index groups = 1) {
  return graph.node(layer, "Conv", inputs_of(graph, layer, x),
                    {{"kernel_shape", {kernel, kernel}},
                     {"strides", {stride, stride}},
                     {"pads", {padding, padding, padding, padding}},
                     {"group", groups}});
}

/// A layer norm of the last dimension. A layer that is applied more than once needs a `name` for each node.
template <class Graph>
std::string layer_norm(Graph& graph, const std::string& layer, const std::string& x, double epsilon,
                       const std::string& name = {}) {
  return graph.node(name.empty() ? layer : name, "LayerNormalization", inputs_of(graph, layer, x),
                    {{"axis", -1}, {"epsilon", static_cast<float>(epsilon)}});
}

template <class Graph>
std::string reshape(Graph& graph, const std::string& name, const std::string& x,
                    const std::vector<Index>& shape) {
  return graph.node(name, "Reshape", {x, graph.list(shape)});
}

template <class Graph>
std::string transpose(Graph& graph, const std::string& name, const std::string& x,
                      const std::vector<Index>& permutation) {
  return graph.node(name, "Transpose", {x}, {{"perm", permutation}});
}

/// One index of a dimension; the result does not have this dimension any more.
template <class Graph>
std::string pick(Graph& graph, const std::string& name, const std::string& x, Index axis, Index place) {
  return graph.node(name, "Gather", {x, graph.whole_number(place)}, {{"axis", axis}});
}

/// GELU, which opset 17 does not have. Runtimes recognise these sequences and replace them by their own.
template <class Graph>
std::string activation(Graph& graph, const std::string& name, const std::string& x, Activation activation) {
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
template <class Graph>
std::string feed_forward(Graph& graph, const std::string& name, const std::string& x, Activation kind) {
  const std::string hidden = activation(graph, name + ".act", linear(graph, name + ".fc1", x), kind);
  return linear(graph, name + ".fc2", hidden);
}

/// The shape of attention. `windows` is 0 if an image's tokens are one sequence.
struct AttentionShape {
  Index tokens = 0;
  Index heads = 0;
  Index head_dim = 0;
  Index windows = 0;
};

/// Attention, its projections included, of rows [n * tokens, dim], or with windows [n * windows * tokens,
/// dim]. `bias` is added to the scaled scores [n, heads, tokens, tokens], or with windows [n, windows, heads,
/// tokens, tokens].
template <class Graph>
std::string attention(Graph& graph, const std::string& name, const std::string& x,
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

/// Turns maps [n, dim, side, side], which convolutions read and write, into rows of pixels,
/// [n * side * side, dim].
template <class Graph>
std::string rows_of(Graph& graph, const std::string& name, const std::string& maps, Index dim) {
  return reshape(graph, name + ".rows", transpose(graph, name + ".channels_last", maps, {0, 2, 3, 1}),
                 {-1, dim});
}

/// The way back: rows of pixels, [n * side * side, dim], into maps [n, dim, side, side].
template <class Graph>
std::string maps_of(Graph& graph, const std::string& name, const std::string& rows, Index side, Index dim) {
  return transpose(graph, name + ".channels_first",
                   reshape(graph, name + ".pixels", rows, {-1, side, side, dim}), {0, 3, 1, 2});
}

/// Picks pixels of maps whose rows are [n * of, dim], the same ones of each map: [n * pixels.size(), dim].
/// For -1 it gives zeros. `table` is the name of the constant that holds the list.
template <class Graph>
std::string gather_pixels(Graph& graph, const std::string& name, const std::string& rows,
                          const std::string& table, std::vector<Index> pixels, Index of, Index dim) {
  std::string maps = reshape(graph, name + ".maps", rows, {-1, of, dim});
  if (std::count(pixels.begin(), pixels.end(), Index{-1}) > 0) {
    std::replace(pixels.begin(), pixels.end(), Index{-1}, of);
    maps = graph.node(name + ".padded", "Pad", {maps, graph.list({0, 0, 0, 0, 1, 0})});
  }
  const std::string list =
      graph.constant(table, {static_cast<Index>(pixels.size())}, std::span<const Index>(pixels));
  return reshape(graph, name + ".rows", graph.node(name, "Gather", {maps, list}, {{"axis", 1}}), {-1, dim});
}

/// The mean [n, dim] over an image's rows, of [n * rows, dim].
template <class Graph>
std::string mean_of_rows(Graph& graph, const std::string& name, const std::string& x, Index rows, Index dim) {
  return graph.node(name, "ReduceMean", {reshape(graph, name + ".rows", x, {-1, rows, dim})},
                    {{"axes", std::vector<Index>{1}}, {"keepdims", 0}});
}

/// The sum of the stream and a branch, which is multiplied with the layer scale of that name if there is one.
template <class Graph>
std::string residual(Graph& graph, const std::string& name, const std::string& stream, std::string branch,
                     const std::string& scale = {}) {
  if (graph.has_initializer(scale)) branch = graph.node(name + ".scaled", "Mul", {branch, scale});
  return graph.node(name, "Add", {stream, branch});
}

/// A transformer's MLP on the stream: its layer norm, its two linear layers, and the sum.
template <class Graph>
std::string mlp_branch(Graph& graph, const std::string& block, const std::string& stream, double epsilon,
                       Activation kind) {
  const std::string normal = layer_norm(graph, block + ".norm2", stream, epsilon);
  return residual(graph, block + ".residual2", stream, feed_forward(graph, block + ".mlp", normal, kind),
                  block + ".ls2.gamma");
}

}  // namespace vbp::inline VBP_ABI::onnx_detail
