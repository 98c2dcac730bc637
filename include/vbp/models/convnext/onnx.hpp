#pragma once
/// A ConvNeXt as an ONNX graph: see onnx_graph in onnx_export.hpp.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/onnx_export.hpp"
#include "vbp/models/onnx_layers-inl.hpp"

namespace vbp::inline VBP_ABI {

template <class Graph>
std::string add_transition(Graph& graph, const ConvNextConfig& config, Index stage,
                           const std::string& stream) {
  using namespace onnx_detail;
  const std::string name = transition_name(config, stage);
  const std::string normal = layer_norm(graph, name + ".0", stream, config.epsilon);
  const std::string maps = maps_of(graph, name, normal, config.side(stage - 1), config.dim(stage - 1));
  return rows_of(graph, name, convolution(graph, name + ".1", maps, 2, 2), config.dim(stage));
}

template <class Graph>
std::string add_block(Graph& graph, const ConvNextConfig& config, Index stage, Index, const std::string& name,
                      const std::string& stream) {
  using namespace onnx_detail;
  const Index dim = config.dim(stage);
  const std::string maps = maps_of(graph, name, stream, config.side(stage), dim);
  const std::string mixed = convolution(graph, name + ".conv_dw", maps, 7, 1, 3, dim);
  const std::string normal =
      layer_norm(graph, name + ".norm", rows_of(graph, name, mixed, dim), config.epsilon);
  return residual(graph, name, stream, feed_forward(graph, name + ".mlp", normal, config.activation),
                  name + ".gamma");
}

template <class Graph>
std::string add_pooling(Graph& graph, const ConvNextConfig& config, const std::string& stream) {
  using namespace onnx_detail;
  const Index pixels = config.pixels(config.stages() - 1);
  const std::string mean = mean_of_rows(graph, "head.mean", stream, pixels, config.dims.back());
  return layer_norm(graph, "head.norm", mean, config.head_epsilon);
}

}  // namespace vbp::inline VBP_ABI
