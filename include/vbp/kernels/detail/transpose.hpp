#pragma once

#include <algorithm>
#include <cstddef>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::kernels::detail {

/// out [columns, rows] = in [rows, columns], rows of either their strides apart. Square tiles, so that a
/// cache line is read and written while it is at hand.
template <class Arch, class T>
void transpose(const T* in, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t in_stride, T* out,
               std::ptrdiff_t out_stride) noexcept {
  constexpr std::ptrdiff_t tile = 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  for (std::ptrdiff_t i = 0; i < rows; i += tile) {
    const std::ptrdiff_t last_row = std::min(i + tile, rows);
    for (std::ptrdiff_t j = 0; j < columns; j += tile) {
      const std::ptrdiff_t last_column = std::min(j + tile, columns);
      for (std::ptrdiff_t column = j; column < last_column; ++column) {
        for (std::ptrdiff_t row = i; row < last_row; ++row) {
          out[column * out_stride + row] = in[row * in_stride + column];
        }
      }
    }
  }
}

/// The sum of a contiguous vector.
template <class Arch, class T>
T sum(const T* values, std::ptrdiff_t size) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  B sums(T(0));
  std::ptrdiff_t i = 0;
  for (; i + lanes <= size; i += lanes) sums += B::load_unaligned(values + i);
  T total = sum_lanes<Arch, T>(sums);
  for (; i < size; ++i) total += values[i];
  return total;
}

}  // namespace vbp::kernels::detail
