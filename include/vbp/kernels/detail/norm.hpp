#pragma once

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// The sum of squares, each value converted to double before it is squared.
template <class Arch, class T>
double square_sum(const T* values, std::ptrdiff_t size) noexcept {
  using B = Batch<Arch, double>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  // Two sums, so that an addition does not wait for the one before it.
  B even(0.0), odd(0.0);
  std::ptrdiff_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    const B first = load_as<Arch, double>(values + i);
    const B second = load_as<Arch, double>(values + i + lanes);
    even = multiply_add<Arch, double>(first, first, even);
    odd = multiply_add<Arch, double>(second, second, odd);
  }
  double sum = sum_lanes<Arch, double>(even + odd);
  for (; i < size; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

// Entries: see kernels/entry.hpp.

struct SquareSum {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&square_sum<Arch, T>) {
    return &square_sum<Arch, T>;
  }
};

}  // namespace vbp::simd
