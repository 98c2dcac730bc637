#pragma once
/// What the programs beside the scripts share.

#include <fstream>
#include <string>

#include <sys/resource.h>

#include "../common.hpp"
#include "vbp/core/error.hpp"

namespace bench {

/// `count` images of `elements` values each from a file of float32. Throws vbp::FileError if it holds fewer.
inline vbp::Matrix<float> read_images(const std::string& file, vbp::Index count, vbp::Index elements) {
  vbp::Matrix<float> images(count, elements);
  std::ifstream input(file, std::ios::binary);
  input.read(reinterpret_cast<char*>(images.data()),
             static_cast<std::streamsize>(static_cast<std::size_t>(images.size()) * sizeof(float)));
  if (!input) throw vbp::FileError(file, "has too few images");
  return images;
}

/// The most memory that this process had so far, in bytes.
inline long peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

}  // namespace bench
