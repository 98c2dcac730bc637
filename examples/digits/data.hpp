#pragma once
/// The handwritten digits of digits.bin.

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"

struct Digits {
  vbp::Matrix<float> images;  ///< [n, 64], from -1 (background) to 1
  std::vector<vbp::Index> labels;
};

struct Split {
  Digits training;
  Digits test;
};

/// Reads digits.bin, whose format SOURCE.md describes. Every fifth digit is held out for the test.
inline Split load_digits(const std::filesystem::path& path) {
  constexpr vbp::Index pixels = 64;
  constexpr vbp::Index record = pixels + 1;
  const vbp::io::MappedFile file(path);
  const vbp::Index count = static_cast<vbp::Index>(file.bytes().size()) / record;
  if (count < 5 || static_cast<vbp::Index>(file.bytes().size()) % record != 0) {
    throw vbp::FileError(path.string(), "is not a list of records of 65 bytes");
  }
  const auto byte = [&](vbp::Index i) { return static_cast<int>(file.bytes()[static_cast<std::size_t>(i)]); };
  Split split;
  split.test.images.resize((count + 4) / 5, pixels);
  split.training.images.resize(count - split.test.images.rows(), pixels);
  for (vbp::Index i = 0; i < count; ++i) {
    Digits& digits = i % 5 == 0 ? split.test : split.training;
    const auto row = static_cast<vbp::Index>(digits.labels.size());
    for (vbp::Index p = 0; p < pixels; ++p) {
      const int value = byte(i * record + p);
      if (value > 16)
        throw vbp::FileError(path.string(), "has a pixel above 16 in record " + std::to_string(i));
      digits.images(row, p) = static_cast<float>(value) / 8.0F - 1.0F;
    }
    digits.labels.push_back(byte(i * record + pixels));
  }
  return split;
}
