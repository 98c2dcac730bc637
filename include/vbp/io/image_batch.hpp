#pragma once
/// Batches of decoded images, whatever decodes them.

#include <filesystem>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/io/hash.hpp"

namespace vbp::inline VBP_ABI::io {

/// Consecutive decoded images: row i of `pixels` is one network input [3, size, size], and each vector has
/// one entry an image. `hashes` are of the files' bytes, so that a copy of a file under another name has the
/// same hash.
struct ImageBatch {
  Matrix<float> pixels;
  std::vector<Index> labels;
  std::vector<Hash128> hashes;
  std::vector<std::filesystem::path> paths;

  Index size() const noexcept { return static_cast<Index>(paths.size()); }
};

/// An image that could not be decoded, and why.
struct ImageFailure {
  std::filesystem::path path;
  std::string reason;
};

}  // namespace vbp::inline VBP_ABI::io
