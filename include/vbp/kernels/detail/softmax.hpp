#pragma once

#include <algorithm>
#include <limits>

#include "vbp/kernels/detail/math.hpp"

namespace vbp::simd {

/// The largest value of a row. Its first `whole` values fill whole vectors, and `rest` is one more vector.
template <class Arch, class T>
inline T largest(const T* row, std::ptrdiff_t whole, const T* rest) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  B largest = B::load_aligned(rest);
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) largest = xsimd::max(largest, B::load_unaligned(row + j));
  return largest_lane<Arch, T>(largest);
}

/// row <- exp(scale (row - maximum)), where `maximum` is the largest value of the row and scale > 0. Returns
/// partial sums of the results, one per lane. `rest` is the last, incomplete vector, whose lanes beyond the
/// row must hold minus infinity. Each of those lanes adds at most 2^-126, which a sum that contains a 1
/// rounds away.
template <class Arch, class T>
inline Batch<Arch, T> exponentials(T* row, std::ptrdiff_t whole, T* rest, T maximum, T scale) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  // The maximum is subtracted before scaling, so that its own exponent is exactly 0. If huge values were
  // scaled first, the rounding errors of the products could leave an exponent that is too large for exp.
  const B factor(scale * T(1.44269504088896340736));  // 1 / ln(2)
  const auto power = [&](const B& x) { return power_of_two<Arch, T>((x - B(maximum)) * factor); };
  B sums(T(0));
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
    const B values = power(B::load_unaligned(row + j));
    values.store_unaligned(row + j);
    sums += values;
  }
  const B values = power(B::load_aligned(rest));
  values.store_aligned(rest);
  return sums + values;
}

/// In place, for each row: row <- exp(scale (row - max row)) / sum, scale > 0.
template <class Arch, class T>
void softmax(T* values, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t stride,
             T scale) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    T* const row = values + i * stride;
    alignas(64) T rest[static_cast<std::size_t>(lanes)];
    std::fill_n(rest, lanes, -std::numeric_limits<T>::infinity());
    std::copy(row + whole, row + columns, rest);
    const T maximum = largest<Arch, T>(row, whole, rest);
    const T factor = T(1) / sum_lanes<Arch, T>(exponentials<Arch, T>(row, whole, rest, maximum, scale));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes)
      (B::load_unaligned(row + j) * B(factor)).store_unaligned(row + j);
    for (std::ptrdiff_t j = whole; j < columns; ++j) row[j] = rest[j - whole] * factor;
  }
}

// Entries: see kernels/entry.hpp.

struct Softmax {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&softmax<Arch, T>) {
    return &softmax<Arch, T>;
  }
};

}  // namespace vbp::simd
