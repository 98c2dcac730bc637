// Any bytes: either an error, or a calibration that is valid, merges with nothing of itself, and still is.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "vbp/io/calibration_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  vbp::io::Calibration calibration;
  try {
    const auto file = vbp::io::SafetensorsFile::from_bytes(bytes, "input");
    calibration = vbp::io::Calibration::from_safetensors(file);
  } catch (const vbp::FileError&) {
    return 0;
  }
  calibration.validate();
  // Other images with the same statistics: the merge may only refuse what overflows.
  vbp::io::Calibration other = calibration;
  for (auto& image : other.images) image.high = ~image.high;
  const std::size_t images = calibration.images.size();
  try {
    calibration.merge(other);
    if (calibration.images.size() != 2 * images) std::abort();
  } catch (const vbp::ValueError&) {
    if (calibration.images.size() != images) std::abort();
  }
  calibration.validate();
  return 0;
}
