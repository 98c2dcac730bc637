#pragma once
/// ONNX files read back by protobuf, and what holds for the graph of every model.

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/io/safetensors.hpp"

namespace vbp_test {

inline ::onnx::ModelProto read_onnx(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  ::onnx::ModelProto model;
  REQUIRE(model.ParseFromIstream(&file));
  return model;
}

template <class Checkpoint>
::onnx::ModelProto exported(const Checkpoint& checkpoint) {
  const TemporaryFolder folder;
  vbp::io::AtomicFile file(folder / "model.onnx");
  export_onnx(file, checkpoint);
  file.commit();
  return read_onnx(folder / "model.onnx");
}

/// A dimension as a number or, of the batch, as its name.
inline std::vector<std::string> shape_of(const ::onnx::ValueInfoProto& value) {
  REQUIRE(value.type().tensor_type().elem_type() == ::onnx::TensorProto::FLOAT);
  std::vector<std::string> shape;
  for (const auto& dimension : value.type().tensor_type().shape().dim()) {
    shape.push_back(dimension.has_dim_param() ? dimension.dim_param()
                                              : std::to_string(dimension.dim_value()));
  }
  return shape;
}

/// How many nodes apply each operator.
inline std::map<std::string, int> operators_of(const ::onnx::GraphProto& graph) {
  std::map<std::string, int> counts;
  for (const auto& node : graph.node()) ++counts[node.op_type()];
  return counts;
}

inline std::map<std::string, std::string> metadata_of(const ::onnx::ModelProto& model) {
  std::map<std::string, std::string> metadata;
  for (const auto& entry : model.metadata_props()) metadata[entry.key()] = entry.value();
  return metadata;
}

inline std::vector<vbp::Index> dims_of(const ::onnx::GraphProto& graph, const std::string& name) {
  for (const auto& tensor : graph.initializer()) {
    if (tensor.name() == name) return {tensor.dims().begin(), tensor.dims().end()};
  }
  return {};
}

/// Nodes read what was there before them, every name is one thing's, every parameter is read, and the result
/// is the last node's.
inline void check_well_formed(const ::onnx::GraphProto& graph) {
  std::set<std::string> known, read;
  REQUIRE(graph.input_size() == 1);
  known.insert(graph.input(0).name());
  for (const auto& tensor : graph.initializer()) CHECK(known.insert(tensor.name()).second);
  for (const auto& node : graph.node()) {
    INFO(node.name());
    for (const std::string& input : node.input()) {
      INFO("reads " << input);
      CHECK(known.contains(input));
      read.insert(input);
    }
    REQUIRE(node.output_size() == 1);
    CHECK(node.output(0) == node.name());
    CHECK(known.insert(node.output(0)).second);
  }
  REQUIRE(graph.output_size() == 1);
  CHECK(graph.node(graph.node_size() - 1).output(0) == graph.output(0).name());
  for (const std::string& name : known) {
    INFO(name);
    CHECK(read.contains(name) != (name == graph.output(0).name()));
  }
}

/// The initialisers are the tensors of a file that timm has written: names, shapes and bits.
inline void check_tensors_of_file(const ::onnx::GraphProto& graph, const std::filesystem::path& path) {
  const vbp::io::SafetensorsFile file(path);
  CHECK(static_cast<std::size_t>(graph.initializer_size()) == file.tensors().size());
  for (const auto& tensor : graph.initializer()) {
    INFO(tensor.name());
    REQUIRE(file.contains(tensor.name()));
    const auto& expected = file.tensor(tensor.name());
    CHECK(tensor.data_type() == ::onnx::TensorProto::FLOAT);
    CHECK(std::vector<vbp::Index>(tensor.dims().begin(), tensor.dims().end()) == expected.shape);
    const std::string bits(reinterpret_cast<const char*>(expected.data.data()), expected.data.size());
    CHECK((tensor.raw_data() == bits));
  }
}

/// The initialisers are the model's parameters, in number, name and value.
template <class Model>
void check_parameters(const ::onnx::GraphProto& graph, const Model& model) {
  std::map<std::string, const ::onnx::TensorProto*> tensors;
  for (const auto& tensor : graph.initializer()) tensors[tensor.name()] = &tensor;
  std::size_t parameters = 0;
  for_each_parameter(model, [&](const std::string& name, const auto& values, vbp::Index, vbp::Index) {
    INFO(name);
    ++parameters;
    REQUIRE(tensors.contains(name));
    vbp::Index size = 1;
    for (const auto length : tensors[name]->dims()) size *= length;
    CHECK(size == values.size());
    const std::string bits(reinterpret_cast<const char*>(values.data()),
                           static_cast<std::size_t>(values.size()) * sizeof(float));
    CHECK((tensors[name]->raw_data() == bits));
  });
  CHECK(parameters == tensors.size());
}

}  // namespace vbp_test
