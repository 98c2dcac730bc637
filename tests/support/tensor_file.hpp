#pragma once
/// Checkpoints that a test changes before it writes them.

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/safetensors.hpp"

namespace vbp_test {

struct Tensor {
  std::vector<vbp::Index> shape;
  std::vector<float> values;
};

/// The contents of a safetensors file in memory, to be changed and written.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  vbp::io::Metadata metadata;

  TensorFile() = default;
  explicit TensorFile(const std::filesystem::path& path) {
    const vbp::io::SafetensorsFile file(path);
    metadata = file.metadata();
    for (const auto& [name, view] : file.tensors()) {
      const vbp::Vector<float> values = file.read_vector<float>(name);
      tensors[name] = {view.shape, {values.begin(), values.end()}};
    }
  }

  std::filesystem::path write(const std::filesystem::path& path) const {
    vbp::io::SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors) {
      writer.add(name, tensor.shape, std::span<const float>(tensor.values));
    }
    writer.write(path, metadata);
    return path;
  }

  void rename(const std::string& from, const std::string& to) {
    auto node = tensors.extract(from);
    REQUIRE(!node.empty());
    node.key() = to;
    tensors.insert(std::move(node));
  }

  void add(const std::string& name, std::vector<vbp::Index> shape) {
    vbp::Index size = 1;
    for (const vbp::Index length : shape) size *= length;
    tensors[name] = {std::move(shape), std::vector<float>(static_cast<std::size_t>(size), 0.25F)};
  }
};

}  // namespace vbp_test
