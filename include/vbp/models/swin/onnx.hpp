#pragma once
/// A Swin Transformer as an ONNX graph. Needs the protobuf definition that ONNX ships.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/onnx_layers.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

namespace onnx_detail {

/// From rows [n * pixels, dim] of maps those of these pixels, map by map: [n * size of pixels, dim]. A pixel
/// of -1 is one of zeros. `table` is the name of the list.
inline std::string gather_pixels(OnnxGraph& graph, const std::string& name, const std::string& rows,
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

/// What is added to the scores within a window, [heads, tokens, tokens], where windows are shifted [windows,
/// heads, tokens, tokens]: a block's relative position bias, and the mask of kernels::PackedWindows.
inline std::string score_bias(OnnxGraph& graph, const std::string& name, const std::string& stage,
                              const kernels::WindowLayout& layout, Index places) {
  const Index tokens = layout.tokens(), window = layout.window;
  std::vector<Index> rows;
  for (Index query = 0; query < tokens; ++query) {
    for (Index key = 0; key < tokens; ++key) {
      const Index down = places / 2 + query / window - key / window;
      rows.push_back(down * places + places / 2 + query % window - key % window);
    }
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

/// Attention within the windows of maps, of rows [n * pixels, dim], the output projection included. To shift
/// maps, to fill them up and to cut them into windows is one choice of pixels, and the way back another.
inline std::string window_attention(OnnxGraph& graph, const SwinConfig& config, Index block,
                                    const std::string& name, const std::string& rows) {
  const Index stage = config.stage_of(block), pixels = config.pixels(stage), dim = config.dim(stage);
  const kernels::WindowLayout layout{.side = config.side(stage),
                                     .window = config.window(stage),
                                     .shift = config.shift(block),
                                     .pad_before_shift = config.pad_before_shift};
  const std::string tables = "layers." + std::to_string(stage) + (layout.shift > 0 ? ".shifted" : ".plain");
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
  const std::string bias = score_bias(graph, name, "layers." + std::to_string(stage), layout,
                                      2 * config.windows[static_cast<std::size_t>(stage)] - 1);
  const std::string attended = attention(graph, name, tokens,
                                         {.tokens = layout.tokens(),
                                          .heads = config.head_count(stage),
                                          .head_dim = config.head_dim(stage),
                                          .windows = layout.shift > 0 ? layout.windows() : 0},
                                         bias);
  return whole ? attended : gather_pixels(graph, name + ".map", attended, tables + ".map", back, size, dim);
}

/// The map that enters `stage`, of the rows of the one before: squares of four pixels, left column first.
inline std::string merge(OnnxGraph& graph, const SwinConfig& config, Index stage, const std::string& rows) {
  const std::string name = "layers." + std::to_string(stage) + ".downsample";
  const Index before = config.side(stage - 1), side = config.side(stage), dim = config.dim(stage - 1);
  std::vector<Index> pixels;
  for (Index square = 0; square < side * side; ++square) {
    for (Index place = 0; place < 4; ++place) {
      const Index row = square / side * 2 + place % 2, column = square % side * 2 + place / 2;
      pixels.push_back(row < before && column < before ? row * before + column : -1);
    }
  }
  const std::string ordered =
      gather_pixels(graph, name, rows, name + ".pixels", pixels, before * before, dim);
  const std::string squares = reshape(graph, name + ".squares", ordered, {-1, 4 * dim});
  return linear(graph, name + ".reduction",
                layer_norm(graph, name + ".norm", squares, config.embedding_epsilon));
}

}  // namespace onnx_detail

/// The forward pass of inference.hpp as a graph: from `images` [batch, channels, size, size], normalised
/// already, to `logits` [batch, classes], without a head `features`. Its initialisers are the model's
/// parameters under timm's names and in timm's shapes. Throws what model.validate() throws.
inline io::OnnxGraph onnx_graph(const SwinTransformer<float>& model) {
  using namespace onnx_detail;
  model.validate();
  const SwinConfig& config = model.config;
  OnnxGraph graph = begin_graph(config);
  add_parameters(graph, model, [&](const std::string& name, Index rows, Index cols, bool vector) {
    return checkpoint_detail::swin_tensor_shape(config, name, rows, cols, vector);
  });
  const std::string maps =
      convolution(graph, "patch_embed.proj", kImages, config.patch_size, config.patch_size);
  std::string stream =
      layer_norm(graph, "patch_embed.norm", rows_of(graph, "patch_embed", maps, config.dim(0)),
                 config.embedding_epsilon);
  const std::vector<std::string> names = block_names(config);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    if (stage > 0) stream = merge(graph, config, stage, stream);
    for (; b < config.first_block(stage + 1); ++b) {
      const std::string& block = names[static_cast<std::size_t>(b)];
      std::string normal = layer_norm(graph, block + ".norm1", stream, config.epsilon);
      stream = residual(graph, block + ".residual1", stream,
                        window_attention(graph, config, b, block + ".attn", normal));
      normal = layer_norm(graph, block + ".norm2", stream, config.epsilon);
      stream = residual(graph, block + ".residual2", stream,
                        feed_forward(graph, block + ".mlp", normal, config.activation));
    }
  }
  stream = layer_norm(graph, "norm", stream, config.epsilon);
  std::string result =
      mean_of_rows(graph, "pooled", stream, config.pixels(config.stages() - 1), config.dims.back());
  if (config.classes > 0) result = linear(graph, "head.fc", result);
  end_graph(graph, config, result);
  return graph;
}

/// Writes a checkpoint as an ONNX file, with the metadata that save_swin writes: how images are made, and the
/// configuration. The file is the caller's to commit. Throws ValueError or ShapeError, before anything is
/// written, if the checkpoint is incomplete or contradicts itself, and FileError if the file would be too
/// large or cannot be written.
inline void export_onnx(io::AtomicFile& file, const SwinCheckpoint& checkpoint,
                        const io::OnnxOptions& options = {}) {
  const SwinConfig& config = checkpoint.model.config;
  const io::Metadata metadata = checkpoint_detail::complete_metadata(
      checkpoint, checkpoint_detail::setting_texts(config, checkpoint.preprocessing, checkpoint.class_names),
      kSwinKeys);
  onnx_graph(checkpoint.model).write(file, metadata, options);
}

}  // namespace vbp::inline VBP_ABI
