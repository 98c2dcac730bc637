// Any bytes: either an error, or tensors that can be read, converted and written again.

#include "vbp/io/safetensors.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// The same tensors as a file of our own.
std::vector<std::byte> written_again(const vbp::io::SafetensorsFile& file) {
  std::vector<vbp::io::NamedTensor> tensors;
  for (const auto& [name, view] : file.tensors()) tensors.push_back({name, view});
  const std::string header = vbp::io::safetensors_header(tensors, file.metadata());
  const auto header_bytes = std::as_bytes(std::span(header));
  std::vector<std::byte> bytes(header_bytes.begin(), header_bytes.end());
  for (const auto& tensor : tensors) {
    bytes.insert(bytes.end(), tensor.view.data.begin(), tensor.view.data.end());
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto file = vbp::io::SafetensorsFile::from_bytes(bytes, "input");
    std::size_t covered = 0;
    bool writable = true;
    for (const auto& [name, view] : file.tensors()) {
      covered += view.data.size();
      // The format has a tensor without a name, our writer has not.
      writable = writable && !name.empty();
      if (vbp::io::is_floating_point(view.dtype)) {
        require(file.read_vector<float>(name).size() == view.size());
        require(file.read_matrix<double>(name, 1, view.size()).size() == view.size());
      }
    }
    require(covered <= size);
    if (!writable) return 0;
    const auto again = written_again(file);
    const auto copy = vbp::io::SafetensorsFile::from_bytes(again, "copy");
    require(copy.metadata() == file.metadata() && copy.names() == file.names());
    require(written_again(copy) == again);
  } catch (const vbp::FileError&) {
  }
  return 0;
}
