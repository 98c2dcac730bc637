#pragma once
/// Content hashes, by which images and models are told apart. They are no defence against forgery.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::io {

/// A 128-bit hash; ordered, and written with its most significant digit first.
struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const Hash128&, const Hash128&) = default;

  /// 32 lower-case hexadecimal digits.
  VBP_FUNCTION std::string to_string() const;

  /// The inverse; throws ValueError unless the text is 32 hexadecimal digits.
  VBP_FUNCTION static Hash128 from_string(std::string_view text);

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
VBP_FUNCTION Hash128 hash_bytes(std::span<const std::byte> bytes) noexcept;

/// hash_bytes of the concatenation of everything passed to update().
class Hasher {
 public:
  VBP_FUNCTION void update(std::span<const std::byte> bytes) noexcept;
  VBP_FUNCTION void update(std::string_view text) noexcept;

  /// The hash so far; more may follow.
  VBP_FUNCTION Hash128 finish() const noexcept;

 private:
  /// The state of xxHash, whose header is not included here.
  struct alignas(64) State {
    std::array<std::byte, 576> bytes;
  };

  bool begun_ = false;  ///< whether state_ is initialised
  State state_{};
};

/// The hashes that both lists hold, ascending: images that would be counted twice, or that were calibrated
/// on.
VBP_FUNCTION std::vector<Hash128> common_hashes(std::vector<Hash128> a, std::vector<Hash128> b);

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/hash-inl.hpp"
#endif
