#include <array>
#include <cstddef>

#include <vbp/core/error.hpp>
#include <vbp/io/decode.hpp>

int main() {
  const std::array<std::byte, 4> no_image{};
  try {
    vbp::io::decode_image(no_image, "no_image");
  } catch (const vbp::FileError&) {
    return 0;
  }
  return 1;
}
