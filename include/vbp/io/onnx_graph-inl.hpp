#pragma once
/// Bodies of onnx_graph.hpp.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/io/onnx_graph.hpp"

namespace vbp::inline VBP_ABI::io {

namespace onnx_detail {

/// Passes bytes on to a file. It keeps what the file throws, since protobuf's code is not made to be left by
/// an exception.
template <class File>
struct OutputStream : google::protobuf::io::CopyingOutputStream {
  explicit OutputStream(File& to) : file(to) {}
  bool Write(const void* bytes, int size) override {
    try {
      file.write(std::span(static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)));
    } catch (...) {
      error = std::current_exception();
    }
    return !error;
  }

  File& file;
  std::exception_ptr error;
};

template <class Value>
void declare(Value& value, const std::string& name, const std::vector<Index>& shape) {
  value.set_name(name);
  auto& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(::onnx::TensorProto::FLOAT);
  for (const Index length : shape) {
    auto& dimension = *type.mutable_shape()->add_dim();
    if (length == kOnnxBatch) {
      dimension.set_dim_param("batch");
    } else {
      dimension.set_dim_value(length);
    }
  }
}

template <class T>
::onnx::TensorProto tensor_of(const std::string& name, const std::vector<Index>& shape,
                              std::span<const T> values) {
  static_assert(std::is_same_v<T, float> || (std::is_integral_v<T> && sizeof(T) == sizeof(std::int64_t)));
  ::onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(std::is_same_v<T, float> ? ::onnx::TensorProto::FLOAT : ::onnx::TensorProto::INT64);
  tensor.mutable_dims()->Add(shape.begin(), shape.end());
  tensor.set_raw_data(values.data(), values.size_bytes());
  return tensor;
}

}  // namespace onnx_detail

VBP_FUNCTION void OnnxAttribute::set(const char* name, std::int64_t value) {
  proto.set_name(name);
  proto.set_type(::onnx::AttributeProto::INT);
  proto.set_i(value);
}

VBP_FUNCTION OnnxAttribute::OnnxAttribute(const char* name, float value) {
  proto.set_name(name);
  proto.set_type(::onnx::AttributeProto::FLOAT);
  proto.set_f(value);
}

VBP_FUNCTION OnnxAttribute::OnnxAttribute(const char* name, const std::vector<Index>& values) {
  proto.set_name(name);
  proto.set_type(::onnx::AttributeProto::INTS);
  proto.mutable_ints()->Add(values.begin(), values.end());
}

VBP_FUNCTION OnnxGraph::OnnxGraph(const std::string& name) {
  model_.set_ir_version(8);  // the one that came with opset 17
  model_.set_producer_name("vbp");
  model_.add_opset_import()->set_version(kOnnxOpset);
  model_.mutable_graph()->set_name(name);
}

VBP_FUNCTION std::string OnnxGraph::input(const std::string& name, const std::vector<Index>& shape) {
  onnx_detail::declare(*model_.mutable_graph()->add_input(), name, shape);
  return name;
}

VBP_FUNCTION void OnnxGraph::output(const std::string& name, const std::vector<Index>& shape) {
  onnx_detail::declare(*model_.mutable_graph()->add_output(), name, shape);
}

VBP_FUNCTION void OnnxGraph::initializer(const std::string& name, const std::vector<Index>& shape,
                                         std::span<const float> values) {
  *model_.mutable_graph()->add_initializer() = onnx_detail::tensor_of(name, shape, values);
  initializers_.insert(name);
}

VBP_FUNCTION std::string OnnxGraph::number(float value) {
  const std::string name = "number_" + shortest_text(value);
  return constant(name, {}, std::span<const float>(&value, 1));
}

VBP_FUNCTION std::string OnnxGraph::whole_number(Index value) {
  return constant("whole_number_" + std::to_string(value), {}, std::span<const Index>(&value, 1));
}

VBP_FUNCTION std::string OnnxGraph::list(const std::vector<Index>& values) {
  std::string name = "list";
  for (const Index value : values) name += "_" + std::to_string(value);
  return constant(name, {static_cast<Index>(values.size())}, std::span<const Index>(values));
}

VBP_FUNCTION std::string OnnxGraph::constant(const std::string& name, const std::vector<Index>& shape,
                                             std::span<const float> values) {
  add_constant(name, onnx_detail::tensor_of("", shape, values));
  return name;
}

VBP_FUNCTION std::string OnnxGraph::constant(const std::string& name, const std::vector<Index>& shape,
                                             std::span<const Index> values) {
  add_constant(name, onnx_detail::tensor_of("", shape, values));
  return name;
}

VBP_FUNCTION void OnnxGraph::add_constant(const std::string& name, ::onnx::TensorProto tensor) {
  if (!constants_.insert(name).second) return;
  ::onnx::AttributeProto value;
  value.set_name("value");
  value.set_type(::onnx::AttributeProto::TENSOR);
  *value.mutable_t() = std::move(tensor);
  *add_node(name, "Constant", {}).add_attribute() = std::move(value);
}

VBP_FUNCTION std::string OnnxGraph::node(const std::string& name, const char* op,
                                         const std::vector<std::string>& inputs,
                                         const std::vector<OnnxAttribute>& attributes) {
  ::onnx::NodeProto& added = add_node(name, op, inputs);
  for (const OnnxAttribute& attribute : attributes) *added.add_attribute() = attribute.proto;
  return name;
}

VBP_FUNCTION ::onnx::NodeProto& OnnxGraph::add_node(const std::string& name, const char* op,
                                                    const std::vector<std::string>& inputs) {
  ::onnx::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_name(name);
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(name);
  return node;
}

VBP_FUNCTION void OnnxGraph::write(AtomicFile& file, const Metadata& metadata, const OnnxOptions& options) {
  model_.set_producer_version(options.producer_version);
  model_.clear_metadata_props();
  for (const auto& [key, value] : metadata) {
    ::onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  if (const std::size_t bytes = model_.ByteSizeLong(); bytes > options.most_bytes) {
    throw FileError(file.path().string(), "would take " + std::to_string(bytes) +
                                              " bytes, and an ONNX file holds at most " +
                                              std::to_string(options.most_bytes));
  }
  onnx_detail::OutputStream<AtomicFile> stream(file);
  google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream);
  const bool written = model_.SerializeToZeroCopyStream(&adaptor) && adaptor.Flush();
  if (stream.error) std::rethrow_exception(stream.error);
  if (!written) throw FileError(file.path().string(), "protobuf cannot write the model");
}

}  // namespace vbp::inline VBP_ABI::io
