#pragma once

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <jpeglib.h>
// After jpeglib.h, which declares what it uses.
#include <jerror.h>
#include <png.h>

#include "vbp/core/message.hpp"
#include "vbp/io/decode.hpp"

namespace vbp::inline VBP_ABI::io {

namespace detail {

/// Why a decoder stopped. Fixed storage: it is filled on the way to a longjmp, which runs no destructors.
struct DecodeFailure {
  std::jmp_buf jump;
  std::array<char, 256> reason{};

  [[noreturn]] void fail(const char* text) noexcept {
    std::snprintf(reason.data(), reason.size(), "%s", text);
    std::longjmp(jump, 1);
  }
};

VBP_FUNCTION void refuse_dimensions(std::uint64_t width, std::uint64_t height, const std::string& name) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height);
  if (width == 0 || height == 0) throw_file_error(name, {"image of ", size, " pixels is empty"});
  if (width > kMaxImagePixels / height) {
    throw_file_error(name,
                     {"image of ", size, " pixels is larger than the limit of ", kMaxImagePixels, " pixels"});
  }
}

VBP_FUNCTION [[noreturn]] void refuse_short_file(std::uint64_t width, std::uint64_t height, std::size_t bytes,
                                                 const std::string& name) {
  throw_file_error(
      name, {"truncated: ", bytes, " bytes cannot hold an image of ", width, " x ", height, " pixels"});
}

/// One JPEG decompression. libjpeg reports errors through a callback that must not return; it jumps to the
/// setjmp of the running step. Every step is a function without locals that need destruction, and whatever a
/// step allocates belongs to this object, so a jump leaks nothing.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::span<const std::byte> bytes) : bytes_(bytes) {
    codec_.err = jpeg_std_error(&errors_);
    codec_.client_data = this;
    errors_.error_exit = [](j_common_ptr codec) { stop(codec); };
    errors_.emit_message = [](j_common_ptr codec, int level) {
      if (level < 0 && !harmless(codec->err->msg_code)) stop(codec);
    };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr codec) { limit_scans(codec); };
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&codec_); }

  Image decode(const std::string& name) {
    if (!read_header()) throw_file_error(name, {failure_.reason.data()});
    const std::uint64_t width = codec_.image_width;
    const std::uint64_t height = codec_.image_height;
    refuse_dimensions(width, height, name);
    const int components = codec_.num_components;
    if (components != 1 && components != 3 && components != 4) {
      throw_file_error(name, {"JPEG of ", components, " components is not supported"});
    }
    // Huffman coding spends at least one bit on an 8x8 block, and sampling factors of at most 4 leave some
    // component at least one block in every 16x16 pixels. Arithmetic coding may spend less.
    if (!codec_.arith_code && (width / 16) * (height / 16) > 8 * static_cast<std::uint64_t>(bytes_.size())) {
      refuse_short_file(width, height, bytes_.size(), name);
    }
    codec_.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    image_.width = static_cast<Index>(width);
    image_.height = static_cast<Index>(height);
    image_.pixels.resize(static_cast<std::size_t>(width * height * 3));
    if (components != 3) row_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(components));
    if (!read_pixels()) throw_file_error(name, {failure_.reason.data()});
    return std::move(image_);
  }

 private:
  // libjpeg-turbo's own fuzzers draw the line here; photographs have about ten scans. Each scan walks over
  // the whole image, so a small file with thousands of them would keep a thread busy for minutes.
  static constexpr int kMaxScans = 500;

  static JpegDecoder& self(j_common_ptr codec) noexcept {
    return *static_cast<JpegDecoder*>(codec->client_data);
  }

  [[noreturn]] static void stop(j_common_ptr codec) noexcept {
    std::array<char, JMSG_LENGTH_MAX> text{};
    codec->err->format_message(codec, text.data());
    self(codec).failure_.fail(text.data());
  }

  /// Warnings about what surrounds the pixel data; PIL decodes such files as if nothing was wrong. All others
  /// mean that pixels are lost and would be made up.
  static bool harmless(int code) noexcept {
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
  }

  static void limit_scans(j_common_ptr codec) noexcept {
    if (self(codec).codec_.input_scan_number > kMaxScans)
      self(codec).failure_.fail("JPEG has more than 500 scans");
  }

  bool read_header() {
    if (setjmp(failure_.jump) != 0) return false;
    jpeg_create_decompress(&codec_);
    codec_.progress = &progress_;
    // Older libjpeg take a pointer to non-const, and none writes to it.
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes_.data()));
    jpeg_mem_src(&codec_, data, static_cast<unsigned long>(bytes_.size()));
    jpeg_read_header(&codec_, TRUE);
    return true;
  }

  bool read_pixels() {
    if (setjmp(failure_.jump) != 0) return false;
    jpeg_start_decompress(&codec_);
    while (codec_.output_scanline < codec_.output_height) {
      const std::size_t width = codec_.output_width;
      std::uint8_t* to = image_.pixels.data() + codec_.output_scanline * width * 3;
      JSAMPROW row = row_.empty() ? to : row_.data();
      jpeg_read_scanlines(&codec_, &row, 1);
      if (codec_.out_color_space == JCS_GRAYSCALE) gray_to_rgb(row, width, to);
      if (codec_.out_color_space == JCS_CMYK) cmyk_to_rgb(row, width, to);
    }
    // Reads on to the end marker: a file without it was cut off.
    jpeg_finish_decompress(&codec_);
    return true;
  }

  static void gray_to_rgb(const std::uint8_t* in, std::size_t width, std::uint8_t* to) noexcept {
    for (std::size_t x = 0; x < width; ++x) to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = in[x];
  }

  /// Inks are stored inverted, as Adobe's programs do and PIL takes for granted: 255 is none. Each colour is
  /// what black leaves of it, in PIL's integer arithmetic: white - ink * white / 255, rounded.
  static void cmyk_to_rgb(const std::uint8_t* in, std::size_t width, std::uint8_t* to) noexcept {
    for (std::size_t x = 0; x < width; ++x) {
      const unsigned white = in[4 * x + 3];
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const unsigned product = (255U - in[4 * x + channel]) * white + 128U;
        to[3 * x + channel] = static_cast<std::uint8_t>(white - ((product >> 8) + product) / 256U);
      }
    }
  }

  std::span<const std::byte> bytes_;
  jpeg_decompress_struct codec_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  DecodeFailure failure_;
  Image image_;
  std::vector<std::uint8_t> row_;
};

/// One PNG decompression; errors jump as in JpegDecoder.
class PngDecoder {
 public:
  explicit PngDecoder(std::span<const std::byte> bytes) : bytes_(bytes) {}
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;
  ~PngDecoder() { png_destroy_read_struct(&codec_, &info_, nullptr); }

  Image decode(const std::string& name) {
    if (!read_header()) throw_file_error(name, {failure_.reason.data()});
    const std::uint64_t width = png_get_image_width(codec_, info_);
    const std::uint64_t height = png_get_image_height(codec_, info_);
    refuse_dimensions(width, height, name);
    // Deflate expands at most 1032 times: 258 bytes for two bits.
    const std::uint64_t bits =
        std::uint64_t{png_get_bit_depth(codec_, info_)} * png_get_channels(codec_, info_);
    if (width * height * bits / 8 > 1032 * static_cast<std::uint64_t>(bytes_.size())) {
      refuse_short_file(width, height, bytes_.size(), name);
    }
    wide_gray_ =
        png_get_color_type(codec_, info_) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(codec_, info_) == 16;
    const auto row_bytes = static_cast<std::size_t>(width * 3);
    image_.width = static_cast<Index>(width);
    image_.height = static_cast<Index>(height);
    image_.pixels.resize(row_bytes * static_cast<std::size_t>(height));
    rows_.resize(static_cast<std::size_t>(height));
    for (std::size_t y = 0; y < rows_.size(); ++y) rows_[y] = image_.pixels.data() + y * row_bytes;
    if (!read_pixels()) throw_file_error(name, {failure_.reason.data()});
    if (wide_gray_) saturate_wide_gray();
    return std::move(image_);
  }

 private:
  [[noreturn]] static void stop(png_structp codec, png_const_charp text) noexcept {
    static_cast<PngDecoder*>(png_get_error_ptr(codec))->failure_.fail(text);
  }

  static void read(png_structp codec, png_bytep to, std::size_t count) noexcept {
    auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(codec));
    if (count > self.bytes_.size() - self.position_) self.failure_.fail("truncated PNG file");
    const auto* from = reinterpret_cast<const png_byte*>(self.bytes_.data()) + self.position_;
    std::copy(from, from + count, to);
    self.position_ += count;
  }

  bool read_header() {
    if (setjmp(failure_.jump) != 0) return false;
    codec_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, stop, [](png_structp, png_const_charp) {});
    if (codec_ == nullptr)
      failure_.fail("libpng does not start: a version other than the one compiled against");
    info_ = png_create_info_struct(codec_);
    if (info_ == nullptr) failure_.fail("out of memory");
    png_set_read_fn(codec_, this, read);
    png_set_crc_action(codec_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Text, profiles and the like change no pixel: they are not unpacked.
    png_set_keep_unknown_chunks(codec_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(codec_, info_);
    return true;
  }

  bool read_pixels() {
    if (setjmp(failure_.jump) != 0) return false;
    const int color = png_get_color_type(codec_, info_);
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(codec_);
    if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(codec_);
    if (wide_gray_) {
      // 16 bits a pixel, to be saturated below; the third byte of each pixel stays free.
      png_set_interlace_handling(codec_);
    } else {
      png_set_strip_16(codec_);
      png_set_strip_alpha(codec_);
      png_set_gray_to_rgb(codec_);
      png_set_interlace_handling(codec_);
    }
    png_read_update_info(codec_, info_);
    if (png_get_rowbytes(codec_, info_) != (wide_gray_ ? 2U : 3U) * static_cast<std::size_t>(image_.width)) {
      failure_.fail("unexpected PNG row length");
    }
    png_read_image(codec_, rows_.data());
    png_read_end(codec_, nullptr);
    return true;
  }

  /// PIL holds 16-bit gray as such and clips it, not scales it, when it converts to 8 bits: above 255 all is
  /// white.
  void saturate_wide_gray() noexcept {
    const auto width = static_cast<std::size_t>(image_.width);
    for (std::uint8_t* row : rows_) {
      // From the right: pixel x is read from bytes 2x and 2x + 1 and written to 3x and on, never to the left
      // of it.
      for (std::size_t x = width; x-- > 0;) {
        const std::uint8_t level = row[2 * x] == 0 ? row[2 * x + 1] : std::uint8_t{255};
        row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = level;
      }
    }
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  png_structp codec_ = nullptr;
  png_infop info_ = nullptr;
  DecodeFailure failure_;
  Image image_;
  std::vector<png_bytep> rows_;
  bool wide_gray_ = false;
};

}  // namespace detail

VBP_FUNCTION Image decode_image(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::array<unsigned char, 3> kJpeg{0xff, 0xd8, 0xff};
  constexpr std::array<unsigned char, 8> kPng{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto begins_with = [bytes](const auto& magic) {
    return bytes.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](unsigned char a, std::byte b) { return std::byte{a} == b; });
  };
  if (bytes.empty()) throw_file_error(name, {"file is empty"});
  if (begins_with(kJpeg)) return detail::JpegDecoder(bytes).decode(name);
  if (begins_with(kPng)) return detail::PngDecoder(bytes).decode(name);
  throw_file_error(name, {"neither a JPEG nor a PNG image"});
}

}  // namespace vbp::inline VBP_ABI::io
