/// Whatever the bytes are, decoding and transforming them ends in an input of the right size or in a
/// vbp::Error.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/io/decode.hpp"
#include "vbp/io/preprocessing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A few hundred pixels a byte are legitimate, so that large inputs test the allocator and nothing else.
  if (size > 8192) return 0;
  try {
    const vbp::io::Image image = vbp::io::decode_image(std::as_bytes(std::span(data, size)), "input");
    for (const auto mode : {vbp::io::CropMode::center, vbp::io::CropMode::squash}) {
      vbp::io::Preprocessing preprocessing;
      preprocessing.image_size = 16;
      preprocessing.crop_mode = mode;
      std::vector<float> input(3 * 16 * 16);
      vbp::io::evaluation_transform(image, preprocessing, input);
      for (const float value : input) {
        if (!(std::abs(value) < 10.0F)) std::abort();
      }
    }
  } catch (const vbp::Error&) {
    return 0;
  }
  return 0;
}
