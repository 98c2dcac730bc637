#pragma once

#include <algorithm>
#include <cstddef>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// In every square of 2 Distance x 2 Distance lanes on the diagonal, exchanges the two quarters that are off
/// the diagonal. Repeats this with half the distance until the distance is 1.
template <class Arch, class T, std::size_t Distance, std::size_t... I>
[[gnu::always_inline]] inline void exchange_quarters(typename Batch<Arch, T>::register_type* rows,
                                                     std::index_sequence<I...> all) noexcept {
  constexpr std::size_t size = Batch<Arch, T>::size;
  unrolled<size / 2>([&](auto pair) __attribute__((always_inline)) {
    constexpr std::size_t upper = pair / Distance * 2 * Distance + pair % Distance;
    const auto a = rows[upper];
    const auto b = rows[upper + Distance];
    rows[upper] = __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I : size + I - Distance)...);
    rows[upper + Distance] =
        __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I + Distance : size + I)...);
  });
  if constexpr (Distance > 1) exchange_quarters<Arch, T, Distance / 2>(rows, all);
}

/// out = in^T for a square that is one vector wide, in registers. in_stride and out_stride are row strides.
template <class Arch, class T>
inline void transpose_square(const T* in, std::ptrdiff_t in_stride, T* out,
                             std::ptrdiff_t out_stride) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  typename B::register_type rows[B::size];
  unrolled<lanes>([&](auto i)
                      __attribute__((always_inline)) { rows[i] = B::load_unaligned(in + i * in_stride); });
  exchange_quarters<Arch, T, B::size / 2>(rows, std::make_index_sequence<B::size>{});
  unrolled<lanes>([&](auto i)
                      __attribute__((always_inline)) { B(rows[i]).store_unaligned(out + i * out_stride); });
}

/// out [columns, rows] = in [rows, columns]^T. in_stride and out_stride are row strides. It works in square
/// tiles, so that cache lines are still in the cache when they are read and written again.
template <class Arch, class T>
void transpose(const T* in, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t in_stride, T* out,
               std::ptrdiff_t out_stride) noexcept {
  constexpr auto tile = static_cast<std::ptrdiff_t>(Batch<Arch, T>::size);
  for (std::ptrdiff_t i = 0; i < rows; i += tile) {
    const std::ptrdiff_t last_row = std::min(i + tile, rows);
    for (std::ptrdiff_t j = 0; j < columns; j += tile) {
      const std::ptrdiff_t last_column = std::min(j + tile, columns);
      if (last_row == i + tile && last_column == j + tile) {
        transpose_square<Arch, T>(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
        continue;
      }
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

// Entries: see kernels/entry.hpp.

struct Transpose {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&transpose<Arch, T>) {
    return &transpose<Arch, T>;
  }
};

struct Sum {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&sum<Arch, T>) {
    return &sum<Arch, T>;
  }
};

}  // namespace vbp::simd
