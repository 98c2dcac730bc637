#pragma once
/// JPEG and PNG files to 8-bit RGB, with the pixels that PIL's convert("RGB") gives. Needs libjpeg and
/// libpng.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI::io {

/// PIL's limit too: an image with more pixels is refused before memory is taken for it.
inline constexpr std::uint64_t kMaxImagePixels = 178'956'970;

/// Decodes a JPEG or PNG file held in memory, told apart by its first bytes; `name` is for messages. Gray is
/// replicated, palettes are looked up, alpha is dropped, EXIF orientation is not applied: as PIL does.
/// Throws FileError for any other format, damaged or truncated data, and more than kMaxImagePixels.
VBP_FUNCTION Image decode_image(std::span<const std::byte> bytes, const std::string& name);

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/decode-inl.hpp"
#endif
