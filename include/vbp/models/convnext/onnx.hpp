#pragma once
/// A ConvNeXt as an ONNX graph. Needs the protobuf definition that ONNX ships.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/onnx_layers.hpp"

namespace vbp::inline VBP_ABI {

namespace onnx_detail {

/// Maps [n, dim, side, side], which convolutions read, of rows [n * side * side, dim].
inline std::string maps_of(OnnxGraph& graph, const std::string& name, const std::string& rows, Index side,
                           Index dim) {
  return transpose(graph, name + ".channels_first",
                   reshape(graph, name + ".pixels", rows, {-1, side, side, dim}), {0, 3, 1, 2});
}

}  // namespace onnx_detail

/// The forward pass of inference.hpp as a graph: from `images` [batch, channels, size, size], normalised
/// already, to `logits` [batch, classes], without a head `features`. Its initialisers are the model's
/// parameters under timm's names and in timm's shapes. Throws what model.validate() throws.
inline io::OnnxGraph onnx_graph(const ConvNext<float>& model) {
  using namespace onnx_detail;
  model.validate();
  const ConvNextConfig& config = model.config;
  OnnxGraph graph = begin_graph(config);
  add_parameters(graph, model, [&](const std::string& name, Index rows, Index cols, bool vector) {
    return checkpoint_detail::convnext_tensor_shape(config, name, rows, cols, vector);
  });
  const std::vector<std::string> names = block_names(config);
  // The stream is rows of pixels, so that only a convolution asks for another order.
  std::string stream = convolution(graph, "stem.0", kImages, config.patch_size, config.patch_size);
  stream = layer_norm(graph, "stem.1", rows_of(graph, "stem", stream, config.dim(0)), config.epsilon);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    const Index dim = config.dim(stage);
    if (stage > 0) {
      const std::string name = "stages." + std::to_string(stage) + ".downsample";
      const std::string normal = layer_norm(graph, name + ".0", stream, config.epsilon);
      const std::string maps = maps_of(graph, name, normal, config.side(stage - 1), config.dim(stage - 1));
      stream = rows_of(graph, name, convolution(graph, name + ".1", maps, 2, 2), dim);
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const std::string& block = names[static_cast<std::size_t>(b)];
      const std::string maps = maps_of(graph, block, stream, config.side(stage), dim);
      const std::string mixed = convolution(graph, block + ".conv_dw", maps, 7, 1, 3, dim);
      const std::string normal =
          layer_norm(graph, block + ".norm", rows_of(graph, block, mixed, dim), config.epsilon);
      stream = residual(graph, block, stream, feed_forward(graph, block + ".mlp", normal, config.activation),
                        block + ".gamma");
    }
  }
  const std::string mean =
      mean_of_rows(graph, "head.mean", stream, config.pixels(config.stages() - 1), config.dims.back());
  std::string result = layer_norm(graph, "head.norm", mean, config.head_epsilon);
  if (config.classes > 0) result = linear(graph, "head.fc", result);
  end_graph(graph, config, result);
  return graph;
}

/// Writes a checkpoint as an ONNX file, with the metadata that save_convnext writes: how images are made, and
/// the configuration. The file is the caller's to commit. Throws ValueError or ShapeError, before anything is
/// written, if the checkpoint is incomplete or contradicts itself, and FileError if the file would be too
/// large or cannot be written.
inline void export_onnx(io::AtomicFile& file, const ConvNextCheckpoint& checkpoint,
                        const io::OnnxOptions& options = {}) {
  const ConvNextConfig& config = checkpoint.model.config;
  const io::Metadata metadata = checkpoint_detail::complete_metadata(
      checkpoint, checkpoint_detail::setting_texts(config, checkpoint.preprocessing, checkpoint.class_names),
      kConvNextKeys);
  onnx_graph(checkpoint.model).write(file, metadata, options);
}

}  // namespace vbp::inline VBP_ABI
