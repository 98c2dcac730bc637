#pragma once
/// Content hashes: which image, which model. Told apart by content, not by name; no defence against forgery.

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#ifdef XXH_INLINE_ALL
#include <xxhash.h>
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL
#endif

#include "vbp/core/error.hpp"

namespace vbp::inline VBP_ABI::io {

/// A 128-bit hash; ordered, and written with its most significant digit first.
struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const Hash128&, const Hash128&) = default;

  /// 32 lower-case hexadecimal digits.
  std::string to_string() const {
    std::string text;
    text.reserve(32);
    for (const std::byte byte : to_bytes()) {
      text += "0123456789abcdef"[std::to_integer<unsigned>(byte >> 4)];
      text += "0123456789abcdef"[std::to_integer<unsigned>(byte & std::byte{15})];
    }
    return text;
  }

  /// The inverse; throws ValueError unless the text is 32 hexadecimal digits.
  static Hash128 from_string(std::string_view text) {
    const auto is_digit = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    };
    if (text.size() != 32 || !std::all_of(text.begin(), text.end(), is_digit)) {
      throw ValueError("a hash is 32 hexadecimal digits");
    }
    const auto parse = [](std::string_view digits) {
      std::uint64_t value = 0;
      for (const char c : digits) {
        const int digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        value = value << 4 | static_cast<std::uint64_t>(digit);
      }
      return value;
    };
    return {parse(text.substr(0, 16)), parse(text.substr(16))};
  }

  /// Big-endian, so that the bytes order as the values do: xxHash's canonical form.
  std::array<std::byte, 16> to_bytes() const noexcept {
    std::array<std::byte, 16> bytes;
    for (std::size_t i = 0; i < 8; ++i) {
      bytes[i] = static_cast<std::byte>(high >> (56 - 8 * i));
      bytes[i + 8] = static_cast<std::byte>(low >> (56 - 8 * i));
    }
    return bytes;
  }

  static Hash128 from_bytes(std::span<const std::byte, 16> bytes) noexcept {
    Hash128 hash;
    for (std::size_t i = 0; i < 8; ++i) {
      hash.high = hash.high << 8 | std::to_integer<std::uint64_t>(bytes[i]);
      hash.low = hash.low << 8 | std::to_integer<std::uint64_t>(bytes[i + 8]);
    }
    return hash;
  }
};

/// XXH3-128 with seed 0; the same on every platform.
inline Hash128 hash_bytes(std::span<const std::byte> bytes) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

/// hash_bytes of the concatenation of everything passed to update().
class Hasher {
 public:
  Hasher() noexcept { XXH3_128bits_reset(&state_); }

  void update(std::span<const std::byte> bytes) noexcept {
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
  }

  void update(std::string_view text) noexcept { update(std::as_bytes(std::span(text))); }

  /// The hash so far; more may follow.
  Hash128 finish() const noexcept {
    const XXH128_hash_t hash = XXH3_128bits_digest(&state_);
    return {hash.high64, hash.low64};
  }

 private:
  XXH3_state_t state_;
};

/// The hashes that both lists hold, ascending: images that would be counted twice, or that were calibrated
/// on.
inline std::vector<Hash128> common_hashes(std::vector<Hash128> a, std::vector<Hash128> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<Hash128> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return common;
}

}  // namespace vbp::inline VBP_ABI::io
