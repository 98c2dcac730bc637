#pragma once
/// Reads images that the golden scripts wrote.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp_test {

/// Reads a binary PPM of 8 bits without comments, which is what Pillow writes.
inline vbp::io::Image read_ppm(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path.string());
  std::string magic;
  vbp::io::Image image;
  int largest = 0;
  file >> magic >> image.width >> image.height >> largest;
  REQUIRE(magic == "P6");
  REQUIRE(largest == 255);
  file.get();
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * 3));
  file.read(reinterpret_cast<char*>(image.pixels.data()), static_cast<std::streamsize>(image.pixels.size()));
  REQUIRE(file.good());
  return image;
}

}  // namespace vbp_test
