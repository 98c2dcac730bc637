#pragma once

#include <algorithm>
#include <limits>

#include "vbp/kernels/detail/math.hpp"

namespace vbp::kernels::detail {

/// row <- exp(scale (row - max row)), scale > 0; returns the sum. The last, incomplete vector is `rest`,
/// whose lanes beyond the row hold minus infinity: at most e^-87 each, which no sum that holds a 1 notices.
template <class Arch, class T>
inline T exponentials(T* row, std::ptrdiff_t whole, T* rest, T scale) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  B largest = B::load_aligned(rest);
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) largest = xsimd::max(largest, B::load_unaligned(row + j));
  const T maximum = largest_lane<Arch, T>(largest);
  // The maximum is subtracted before scaling, which is exact for it: a rounded product of two would leave, of
  // huge values, more than exp can take.
  const auto power = [&](const B& x) { return exponential<Arch, T>((x - B(maximum)) * B(scale)); };
  B sums(T(0));
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
    const B values = power(B::load_unaligned(row + j));
    values.store_unaligned(row + j);
    sums += values;
  }
  const B values = power(B::load_aligned(rest));
  values.store_aligned(rest);
  return sum_lanes<Arch, T>(sums + values);
}

/// In place: row <- exp(scale (row - max row)) / sum, scale > 0.
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
    const T factor = T(1) / exponentials<Arch, T>(row, whole, rest, scale);
    for (std::ptrdiff_t j = 0; j < whole; j += lanes)
      (B::load_unaligned(row + j) * B(factor)).store_unaligned(row + j);
    for (std::ptrdiff_t j = whole; j < columns; ++j) row[j] = rest[j - whole] * factor;
  }
}

}  // namespace vbp::kernels::detail
