#pragma once
/// ONNX files: graphs of operators, built node by node. Needs the protobuf definition that ONNX ships.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <onnx/onnx_pb.h>

#include "vbp/core/config.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/safetensors.hpp"

namespace vbp::inline VBP_ABI::io {

static_assert(std::endian::native == std::endian::little, "ONNX's raw data are little-endian");

/// The version of the operators.
inline constexpr Index kOnnxOpset = 17;
/// The length in a shape that stands for the batch, which is known when the graph is run.
inline constexpr Index kOnnxBatch = -1;

struct OnnxOptions {
  std::string producer_version = {};
  /// A larger file is refused; no protobuf message can be larger than the default.
  std::size_t most_bytes = std::numeric_limits<std::int32_t>::max();
};

/// A node's attribute: a whole number, a real one or a list of whole ones.
struct OnnxAttribute {
  ::onnx::AttributeProto proto;

  OnnxAttribute(const char* name, std::integral auto value) { set(name, std::int64_t{value}); }
  VBP_FUNCTION OnnxAttribute(const char* name, float value);
  VBP_FUNCTION OnnxAttribute(const char* name, const std::vector<Index>& values);

 private:
  VBP_FUNCTION void set(const char* name, std::int64_t value);
};

/// A graph under construction. Every value has the name of what it comes from: the input, an initialiser, a
/// constant, or a node, all of which have one output. Nodes come in the order in which they can be run.
class OnnxGraph {
 public:
  VBP_FUNCTION explicit OnnxGraph(const std::string& name);

  /// The graph's input, float32.
  VBP_FUNCTION std::string input(const std::string& name, const std::vector<Index>& shape);

  /// Makes a node's output, float32, one of the graph's.
  VBP_FUNCTION void output(const std::string& name, const std::vector<Index>& shape);

  /// A tensor of trained values, row-major, that nodes read by its name.
  VBP_FUNCTION void initializer(const std::string& name, const std::vector<Index>& shape,
                                std::span<const float> values);
  bool has_initializer(const std::string& name) const { return initializers_.contains(name); }

  // What nodes read beside trained values. Each of these constants is made once, whoever asks for it.
  VBP_FUNCTION std::string number(float value);
  VBP_FUNCTION std::string whole_number(Index value);
  VBP_FUNCTION std::string list(const std::vector<Index>& values);
  VBP_FUNCTION std::string constant(const std::string& name, const std::vector<Index>& shape,
                                    std::span<const float> values);
  VBP_FUNCTION std::string constant(const std::string& name, const std::vector<Index>& shape,
                                    std::span<const Index> values);

  /// Applies an operator; returns the name of the result, which is the node's own.
  VBP_FUNCTION std::string node(const std::string& name, const char* op,
                                const std::vector<std::string>& inputs,
                                const std::vector<OnnxAttribute>& attributes = {});

  const ::onnx::ModelProto& proto() const noexcept { return model_; }

  /// Writes the model with these texts as its metadata; the caller commits the file. Throws FileError if it
  /// would be too large or cannot be written.
  VBP_FUNCTION void write(AtomicFile& file, const Metadata& metadata, const OnnxOptions& options = {});

 private:
  VBP_FUNCTION ::onnx::NodeProto& add_node(const std::string& name, const char* op,
                                           const std::vector<std::string>& inputs);
  /// Does nothing if the constant is there already.
  VBP_FUNCTION void add_constant(const std::string& name, ::onnx::TensorProto tensor);

  ::onnx::ModelProto model_;
  std::set<std::string> initializers_;
  std::set<std::string> constants_;
};

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/onnx_graph-inl.hpp"
#endif
