#pragma once
/// Seeded random numbers that are the same on every platform. The standard library's distributions are not.

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). It has 64 bits of state, passes BigCrush and accepts any
/// seed. Models std::uniform_random_bit_generator.
class Random {
 public:
  using result_type = std::uint64_t;

  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

  result_type operator()() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1), from the upper 53 bits of a draw.
  double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }

  /// Uniform integer in [0, bound), bound > 0. It is unbiased: draws from the incomplete last interval are
  /// rejected.
  std::uint64_t below(std::uint64_t bound) noexcept {
    const std::uint64_t incomplete = (max() % bound + 1) % bound;
    std::uint64_t draw = (*this)();
    while (draw > max() - incomplete) draw = (*this)();
    return draw % bound;
  }

  /// Standard normal, by the Box-Muller transform.
  double normal() noexcept {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  /// Shuffles in place by Fisher-Yates.
  template <class T>
  void shuffle(std::vector<T>& values) noexcept {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<std::size_t>(below(i))]);
    }
  }

 private:
  std::uint64_t state_;
};

/// Derives a seed from `seed` and the pair (a, b), for example an epoch and an image. Each pair has its own
/// random stream. The streams can be drawn in any order, so threads can share the work.
inline std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0) noexcept {
  const std::uint64_t first = Random(seed)() ^ a;
  return Random(Random(first)() ^ b)();
}

}  // namespace vbp::inline VBP_ABI
