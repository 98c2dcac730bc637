#pragma once
/// A Swin Transformer as an ONNX graph: see onnx_graph in onnx_export.hpp.

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/onnx_export.hpp"
#include "vbp/models/onnx_layers-inl.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

namespace onnx_detail {

/// What is added to the scores within a window: a block's relative position bias, [heads, tokens, tokens],
/// and for shifted windows the mask of kernels::PackedWindows too, [windows, heads, tokens, tokens].
template <class Graph>
std::string score_bias(Graph& graph, const std::string& name, const std::string& stage,
                       const kernels::WindowLayout& layout, Index places) {
  const Index tokens = layout.tokens(), window = layout.window;
  std::vector<Index> rows;
  for (Index query = 0; query < tokens; ++query) {
    for (Index key = 0; key < tokens; ++key) rows.push_back(layout.table_row(query, key, places));
  }
  const std::string table =
      graph.constant(stage + ".relative_positions", {tokens, tokens}, std::span<const Index>(rows));
  const std::string by_head = graph.node(name + ".bias.pairs", "Gather",
                                         {name + ".relative_position_bias_table", table}, {{"axis", 0}});
  const std::string bias = transpose(graph, name + ".bias", by_head, {2, 0, 1});
  if (layout.shift == 0) return bias;
  std::vector<float> mask;
  const Index across = layout.windows_on_side();
  for (Index w = 0; w < layout.windows(); ++w) {
    // In windows at the lower and right border tokens come from two ends of the map.
    const auto end_of = [&](Index place, Index token) {
      return place == across - 1 && token >= window - layout.shift;
    };
    const auto from = [&](Index token) {
      return std::pair(end_of(w / across, token / window), end_of(w % across, token % window));
    };
    for (Index query = 0; query < tokens; ++query) {
      for (Index key = 0; key < tokens; ++key) mask.push_back(from(query) == from(key) ? 0.0F : -100.0F);
    }
  }
  const std::string hidden =
      graph.constant(stage + ".mask", {layout.windows(), 1, tokens, tokens}, std::span<const float>(mask));
  return graph.node(name + ".bias.masked", "Add", {bias, hidden});
}

/// Attention within the windows of maps, of rows [n * pixels, dim], the output projection included. Shifting
/// maps, filling them up and cutting them into windows is one choice of pixels; the way back is another.
template <class Graph>
std::string window_attention(Graph& graph, const SwinConfig& config, Index block, const std::string& name,
                             const std::string& rows) {
  const Index stage = config.stage_of(block), pixels = config.pixels(stage), dim = config.dim(stage);
  const kernels::WindowLayout layout = vbp::detail::window_layout(config, block);
  const std::string tables = stage_name(config, stage) + (layout.shift > 0 ? ".shifted" : ".plain");
  const auto places = kernels::window_rows(layout);
  const std::vector<Index> there(places.begin(), places.end());
  const auto size = static_cast<Index>(there.size());
  std::vector<Index> back(static_cast<std::size_t>(pixels));
  for (Index i = 0; i < size; ++i) {
    const Index pixel = there[static_cast<std::size_t>(i)];
    if (pixel >= 0) back[static_cast<std::size_t>(pixel)] = i;
  }
  const bool whole = layout.windows() == 1;
  const std::string tokens =
      whole ? rows : gather_pixels(graph, name + ".windows", rows, tables + ".windows", there, pixels, dim);
  const std::string bias = score_bias(graph, name, stage_name(config, stage), layout,
                                      2 * config.windows[static_cast<std::size_t>(stage)] - 1);
  const std::string attended = attention(graph, name, tokens,
                                         {.tokens = layout.tokens(),
                                          .heads = config.head_count(stage),
                                          .head_dim = config.head_dim(stage),
                                          .windows = layout.shift > 0 ? layout.windows() : 0},
                                         bias);
  return whole ? attended : gather_pixels(graph, name + ".map", attended, tables + ".map", back, size, dim);
}

}  // namespace onnx_detail

template <class Graph>
std::string add_transition(Graph& graph, const SwinConfig& config, Index stage, const std::string& rows) {
  using namespace onnx_detail;
  const std::string name = transition_name(config, stage);
  const Index before = config.side(stage - 1), side = config.side(stage), dim = config.dim(stage - 1);
  std::vector<Index> pixels;
  for (Index square = 0; square < side * side; ++square) {
    for (Index place = 0; place < 4; ++place) {
      pixels.push_back(
          vbp::detail::pixel_of_square(before, square / side, square % side, place % 2, place / 2));
    }
  }
  const std::string ordered =
      gather_pixels(graph, name, rows, name + ".pixels", pixels, before * before, dim);
  const std::string squares = reshape(graph, name + ".squares", ordered, {-1, 4 * dim});
  return linear(graph, name + ".reduction",
                layer_norm(graph, name + ".norm", squares, config.embedding_epsilon));
}

template <class Graph>
std::string add_block(Graph& graph, const SwinConfig& config, Index, Index index, const std::string& name,
                      std::string stream) {
  using namespace onnx_detail;
  const std::string normal = layer_norm(graph, name + ".norm1", stream, config.epsilon);
  stream = residual(graph, name + ".residual1", stream,
                    window_attention(graph, config, index, name + ".attn", normal));
  return mlp_branch(graph, name, stream, config.epsilon, config.activation);
}

template <class Graph>
std::string add_pooling(Graph& graph, const SwinConfig& config, const std::string& stream) {
  using namespace onnx_detail;
  const Index pixels = config.pixels(config.stages() - 1);
  return mean_of_rows(graph, "pooled", layer_norm(graph, "norm", stream, config.epsilon), pixels,
                      config.dims.back());
}

}  // namespace vbp::inline VBP_ABI
