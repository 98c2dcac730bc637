#pragma once

#include <algorithm>
#include <limits>

#include "vbp/kernels/detail/math.hpp"

namespace vbp::kernels::detail {

/// In place: row <- exp(scale (row - max row)) / sum, scale > 0.
template <class Arch, class T>
void softmax(T* values, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t stride,
             T scale) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    T* const row = values + i * stride;
    // The last, incomplete vector is worked on in a copy whose other lanes are e^-87 of nothing: they are
    // left out of the sum and not stored.
    alignas(64) T rest[static_cast<std::size_t>(lanes)];
    std::fill_n(rest, lanes, std::numeric_limits<T>::lowest());
    std::copy(row + whole, row + columns, rest);
    B largest = B::load_aligned(rest);
    for (std::ptrdiff_t j = 0; j < whole; j += lanes)
      largest = xsimd::max(largest, B::load_unaligned(row + j));
    alignas(64) T lane_values[static_cast<std::size_t>(lanes)];
    largest.store_aligned(lane_values);
    const T maximum = *std::max_element(lane_values, lane_values + lanes);
    // The maximum is subtracted before scaling, which is exact for it: a rounded product of two would leave,
    // of huge values, more than exp can take.
    const auto power_of = [&](const B& x) { return exponential<Arch, T>((x - B(maximum)) * B(scale)); };
    B sums(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B power = power_of(B::load_unaligned(row + j));
      power.store_unaligned(row + j);
      sums += power;
    }
    T sum = sum_lanes<Arch, T>(sums);
    if (whole < columns) {
      std::fill(rest + (columns - whole), rest + lanes, maximum);
      power_of(B::load_aligned(rest)).store_aligned(rest);
      for (std::ptrdiff_t j = whole; j < columns; ++j) sum += rest[j - whole];
      std::copy(rest, rest + (columns - whole), row + whole);
    }
    const B factor(T(1) / sum);
    for (std::ptrdiff_t j = 0; j < whole; j += lanes)
      (B::load_unaligned(row + j) * factor).store_unaligned(row + j);
    for (std::ptrdiff_t j = whole; j < columns; ++j) row[j] *= T(1) / sum;
  }
}

}  // namespace vbp::kernels::detail
