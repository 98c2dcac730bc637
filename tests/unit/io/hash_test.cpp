#include "vbp/io/hash.hpp"

#include <array>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using vbp::ValueError;
using vbp::io::common_hashes;
using vbp::io::Hash128;
using vbp::io::hash_bytes;
using vbp::io::Hasher;

Hash128 hash_text(std::string_view text) {
  return hash_bytes(std::as_bytes(std::span(text)));
}

std::string counting(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 2);
  return text;
}

}  // namespace

// Expected: xxh3_128_hexdigest of the Python package xxhash.
TEST_CASE("hashes are those of xxHash elsewhere", "[hash]") {
  CHECK(hash_text("").to_string() == "99aa06d3014798d86001c324468d497f");
  CHECK(hash_text("a").to_string() == "a96faf705af16834e6c632b61e964e1f");
  CHECK(hash_text("The quick brown fox jumps over the lazy dog").to_string() ==
        "ddd650205ca3e7fa24a1cc2e3a8a7651");
  CHECK(hash_text(std::string(1000, 'v')).to_string() == "7d4d999299fd1f4bd8a0bd674ac55a83");
}

TEST_CASE("a stream hashes as its concatenation, however it is cut", "[hash]") {
  for (const std::size_t size :
       std::vector<std::size_t>{0, 1, 16, 17, 128, 129, 240, 241, 255, 256, 257, 1024, 5000}) {
    const std::string text = counting(size);
    for (const std::size_t step : std::vector<std::size_t>{1, 7, 64, 256, 1000, 6000}) {
      Hasher hasher;
      for (std::size_t begin = 0; begin < size; begin += step) {
        hasher.update(std::string_view(text).substr(begin, step));
        hasher.update(std::string_view());
      }
      CHECK(hasher.finish() == hash_text(text));
    }
  }
}

TEST_CASE("finishing a stream does not end it", "[hash]") {
  Hasher hasher;
  hasher.update("one");
  CHECK(hasher.finish() == hash_text("one"));
  const Hasher copy = hasher;
  const std::array<std::byte, 3> more{std::byte{'t'}, std::byte{'w'}, std::byte{'o'}};
  hasher.update(more);
  CHECK(hasher.finish() == hash_text("onetwo"));
  CHECK(copy.finish() == hash_text("one"));
}

TEST_CASE("a hash is 32 digits, most significant first", "[hash]") {
  const Hash128 hash{0x0123456789abcdefU, 0xfedcba9876543210U};
  CHECK(hash.to_string() == "0123456789abcdeffedcba9876543210");
  CHECK(Hash128::from_string("0123456789abcdeffedcba9876543210") == hash);
  CHECK(Hash128::from_string("0123456789ABCDEFFEDCBA9876543210") == hash);
  CHECK(Hash128{}.to_string() == std::string(32, '0'));
  CHECK(Hash128{0, 1}.to_string() == std::string(31, '0') + '1');
}

TEST_CASE("what is no hash is refused", "[hash]") {
  const std::string digits(32, '0');
  CHECK_THROWS_AS(Hash128::from_string(""), ValueError);
  CHECK_THROWS_AS(Hash128::from_string(digits + '0'), ValueError);
  CHECK_THROWS_AS(Hash128::from_string(digits.substr(1)), ValueError);
  for (const char c : std::string("gG/:@`x +-\0", 11)) {
    std::string text = digits;
    text[20] = c;
    CHECK_THROWS_WITH(Hash128::from_string(text), "a hash is 32 hexadecimal digits");
  }
}

TEST_CASE("canonical bytes are the digits", "[hash]") {
  const Hash128 hash{0x0011223344556677U, 0x8899aabbccddeeffU};
  const std::array<std::byte, 16> bytes = hash.to_bytes();
  for (unsigned i = 0; i < 16; ++i) CHECK(std::to_integer<unsigned>(bytes[i]) == i * 0x11);
  CHECK(Hash128::from_bytes(bytes) == hash);
}

TEST_CASE("hashes order as their digits do", "[hash]") {
  const std::vector<Hash128> ascending{{0, 0}, {0, 1}, {0, ~0ULL}, {1, 0}, {1ULL << 63, 0}, {~0ULL, 1}};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      CHECK((ascending[i] < ascending[j]) == (i < j));
      CHECK((ascending[i] == ascending[j]) == (i == j));
      CHECK((ascending[i].to_string() < ascending[j].to_string()) == (i < j));
    }
  }
}

TEST_CASE("one bit or one byte more makes another hash", "[hash]") {
  std::set<Hash128> seen;
  const std::string text = counting(300);
  for (std::size_t size = 0; size <= text.size(); ++size) seen.insert(hash_text(text.substr(0, size)));
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    seen.insert(hash_text(changed));
  }
  CHECK(seen.size() == 601);
}

TEST_CASE("common hashes come from lists in any order", "[hash]") {
  const Hash128 a{0, 1}, b{0, 2}, c{1, 0}, d{2, 0};
  CHECK(common_hashes({d, a, c}, {c, b, d}) == std::vector<Hash128>{c, d});
  CHECK(common_hashes({a, b}, {c, d}).empty());
  CHECK(common_hashes({}, {a}).empty());
}
