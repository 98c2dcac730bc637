#pragma once
/// ONNX files: graphs of operators, put together node by node. Needs the protobuf definition that ONNX ships.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/safetensors.hpp"

namespace vbp::inline VBP_ABI::io {

static_assert(std::endian::native == std::endian::little, "ONNX's raw data are little-endian");

/// The operators' version, and the length in a shape that stands for the batch, known when the graph is run.
inline constexpr Index kOnnxOpset = 17;
inline constexpr Index kOnnxBatch = -1;

/// `most_bytes`: a larger file is refused; no protobuf message can be larger than the default.
struct OnnxOptions {
  std::string producer_version = {};
  std::size_t most_bytes = std::numeric_limits<std::int32_t>::max();
};

/// A node's attribute: a whole number, a real one or a list of whole ones.
struct OnnxAttribute {
  ::onnx::AttributeProto proto;

  OnnxAttribute(const char* name, std::integral auto value) {
    set(name, ::onnx::AttributeProto::INT);
    proto.set_i(value);
  }
  OnnxAttribute(const char* name, float value) {
    set(name, ::onnx::AttributeProto::FLOAT);
    proto.set_f(value);
  }
  OnnxAttribute(const char* name, const std::vector<Index>& values) {
    set(name, ::onnx::AttributeProto::INTS);
    proto.mutable_ints()->Add(values.begin(), values.end());
  }

 private:
  void set(const char* name, ::onnx::AttributeProto::AttributeType type) {
    proto.set_name(name);
    proto.set_type(type);
  }
};

/// A graph under construction. Every value has the name of what it comes from: the input, an initialiser, a
/// constant, or a node, all of which have one output. Nodes come in the order in which they can be run.
class OnnxGraph {
 public:
  explicit OnnxGraph(const std::string& name) {
    model_.set_ir_version(8);  // the one that came with opset 17
    model_.set_producer_name("vbp");
    model_.add_opset_import()->set_version(kOnnxOpset);
    model_.mutable_graph()->set_name(name);
  }

  /// The graph's input, float32.
  std::string input(const std::string& name, const std::vector<Index>& shape) {
    declare(*model_.mutable_graph()->add_input(), name, shape);
    return name;
  }

  /// Makes a node's output, float32, one of the graph's.
  void output(const std::string& name, const std::vector<Index>& shape) {
    declare(*model_.mutable_graph()->add_output(), name, shape);
  }

  /// A tensor of trained values, row-major, that nodes read by its name.
  void initializer(const std::string& name, const std::vector<Index>& shape, std::span<const float> values) {
    set_tensor(*model_.mutable_graph()->add_initializer(), name, shape, values);
    initializers_.insert(name);
  }
  bool has_initializer(const std::string& name) const { return initializers_.contains(name); }

  /// What nodes read beside trained values. Numbers and lists are made once, whoever asks for them.
  std::string number(float value) {
    const std::string name = "number_" + shortest_text(value);
    return constant(name, {}, std::span<const float>(&value, 1));
  }
  std::string whole_number(Index value) {
    return constant("whole_number_" + std::to_string(value), {}, std::span<const Index>(&value, 1));
  }
  std::string list(const std::vector<Index>& values) {
    std::string name = "list";
    for (const Index value : values) name += "_" + std::to_string(value);
    return constant(name, {static_cast<Index>(values.size())}, std::span(values));
  }
  template <class T>
  std::string constant(const std::string& name, const std::vector<Index>& shape, std::span<const T> values) {
    if (!constants_.insert(name).second) return name;
    ::onnx::AttributeProto value;
    value.set_name("value");
    value.set_type(::onnx::AttributeProto::TENSOR);
    set_tensor(*value.mutable_t(), "", shape, values);
    *add_node(name, "Constant", {}).add_attribute() = std::move(value);
    return name;
  }

  /// Applies an operator; returns the name of the result, which is the node's own.
  std::string node(const std::string& name, const char* op, const std::vector<std::string>& inputs,
                   const std::vector<OnnxAttribute>& attributes = {}) {
    ::onnx::NodeProto& added = add_node(name, op, inputs);
    for (const OnnxAttribute& attribute : attributes) *added.add_attribute() = attribute.proto;
    return name;
  }

  const ::onnx::ModelProto& proto() const noexcept { return model_; }

  /// Writes the model with these texts as its metadata; the file is the caller's to commit. Throws FileError
  /// if it would be too large or cannot be written.
  void write(AtomicFile& file, const Metadata& metadata, const OnnxOptions& options = {}) {
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
    Stream stream(file);
    google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream);
    const bool written = model_.SerializeToZeroCopyStream(&adaptor) && adaptor.Flush();
    if (stream.error) std::rethrow_exception(stream.error);
    if (!written) throw FileError(file.path().string(), "protobuf cannot write the model");
  }

 private:
  /// Keeps what the file throws: protobuf's code is not made to be left by an exception.
  struct Stream : google::protobuf::io::CopyingOutputStream {
    explicit Stream(AtomicFile& to) : file(to) {}
    bool Write(const void* bytes, int size) override {
      try {
        file.write(std::span(static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)));
      } catch (...) {
        error = std::current_exception();
      }
      return !error;
    }

    AtomicFile& file;
    std::exception_ptr error;
  };

  static void declare(::onnx::ValueInfoProto& value, const std::string& name,
                      const std::vector<Index>& shape) {
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
  static void set_tensor(::onnx::TensorProto& tensor, const std::string& name,
                         const std::vector<Index>& shape, std::span<const T> values) {
    static_assert(std::same_as<T, float> || (std::integral<T> && sizeof(T) == sizeof(std::int64_t)));
    tensor.set_name(name);
    tensor.set_data_type(std::same_as<T, float> ? ::onnx::TensorProto::FLOAT : ::onnx::TensorProto::INT64);
    tensor.mutable_dims()->Add(shape.begin(), shape.end());
    tensor.set_raw_data(values.data(), values.size_bytes());
  }

  ::onnx::NodeProto& add_node(const std::string& name, const char* op,
                              const std::vector<std::string>& inputs) {
    ::onnx::NodeProto& node = *model_.mutable_graph()->add_node();
    node.set_name(name);
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(name);
    return node;
  }

  ::onnx::ModelProto model_;
  std::set<std::string> initializers_;
  std::set<std::string> constants_;
};

}  // namespace vbp::inline VBP_ABI::io
