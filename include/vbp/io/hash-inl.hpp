#pragma once

#include <algorithm>
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

#include "vbp/core/message.hpp"
#include "vbp/io/hash.hpp"

namespace vbp::inline VBP_ABI::io {

VBP_FUNCTION std::string Hash128::to_string() const {
  std::string text;
  text.reserve(32);
  for (const std::byte byte : to_bytes()) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte >> 4)];
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte & std::byte{15})];
  }
  return text;
}

VBP_FUNCTION Hash128 Hash128::from_string(std::string_view text) {
  const auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  if (text.size() != 32 || !std::all_of(text.begin(), text.end(), is_digit)) {
    throw_value_error({"a hash is 32 hexadecimal digits"});
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

VBP_FUNCTION Hash128 hash_bytes(std::span<const std::byte> bytes) noexcept {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

VBP_FUNCTION void Hasher::update(std::span<const std::byte> bytes) noexcept {
  static_assert(sizeof(State) >= sizeof(XXH3_state_t) && alignof(State) >= alignof(XXH3_state_t));
  auto* const state = reinterpret_cast<XXH3_state_t*>(state_.bytes.data());
  if (!begun_) XXH3_128bits_reset(state);
  begun_ = true;
  XXH3_128bits_update(state, bytes.data(), bytes.size());
}

VBP_FUNCTION void Hasher::update(std::string_view text) noexcept {
  update(std::as_bytes(std::span(text)));
}

VBP_FUNCTION Hash128 Hasher::finish() const noexcept {
  if (!begun_) return hash_bytes({});
  const XXH128_hash_t hash = XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_.bytes.data()));
  return {hash.high64, hash.low64};
}

VBP_FUNCTION std::vector<Hash128> common_hashes(std::vector<Hash128> a, std::vector<Hash128> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<Hash128> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return common;
}

}  // namespace vbp::inline VBP_ABI::io
