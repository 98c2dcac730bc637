#pragma once
/// Bodies of onnx_export.hpp.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/onnx_export.hpp"
#include "vbp/models/onnx_layers-inl.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI {

namespace onnx_detail {

/// The forward pass of a network of stages, on a stream of rows of pixels. The family's onnx.hpp has
/// add_transition(graph, config, stage, stream), add_block(graph, config, stage, block's index, its name,
/// stream) and add_pooling(graph, config, stream), from the last map to the features.
template <class Graph, StageConfig Config>
std::string add_network(Graph& graph, const Config& config) {
  const std::string embedding = config.kLayout.embedding;
  const std::string name = embedding.substr(0, embedding.rfind('.'));
  const std::string maps = convolution(graph, embedding, kImages, config.patch_size, config.patch_size);
  std::string stream = layer_norm(graph, config.kLayout.embedding_norm,
                                  rows_of(graph, name, maps, config.dim(0)), config.embedding_norm_epsilon());
  const std::vector<std::string> names = block_names(config);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    if (stage > 0) stream = add_transition(graph, config, stage, stream);
    for (; b < config.first_block(stage + 1); ++b) {
      stream = add_block(graph, config, stage, b, names[static_cast<std::size_t>(b)], stream);
    }
  }
  const std::string features = add_pooling(graph, config, stream);
  return config.classes > 0 ? linear(graph, "head.fc", features) : features;
}

}  // namespace onnx_detail

template <class Model>
io::OnnxGraph onnx_graph(const Model& model) {
  using namespace onnx_detail;
  model.validate();
  const auto& config = model.config;
  io::OnnxGraph graph(config.architecture.empty() ? "model" : config.architecture);
  graph.input(kImages, {io::kOnnxBatch, config.channels, config.image_size, config.image_size});
  for_each_parameter(model, [&](const std::string& name, const auto& values, Index rows, Index cols) {
    graph.initializer(
        name, checkpoint_detail::tensor_shape<Model>(config, name, rows, cols, values.IsVectorAtCompileTime),
        std::span<const float>(values.data(), static_cast<std::size_t>(values.size())));
  });
  const std::string result = add_network(graph, config);
  graph.output(graph.node(config.classes > 0 ? "logits" : "features", "Identity", {result}),
               {io::kOnnxBatch, config.outputs()});
  return graph;
}

template <class Model>
void export_onnx(io::AtomicFile& file, const Checkpoint<Model>& checkpoint, const io::OnnxOptions& options) {
  const io::Metadata metadata = checkpoint_detail::complete_metadata(checkpoint);
  onnx_graph(checkpoint.model).write(file, metadata, options);
}

}  // namespace vbp::inline VBP_ABI
