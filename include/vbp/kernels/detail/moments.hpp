#pragma once

#include <cstddef>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// Adds the deviations of `Rows` rows to the sums. The sums are in memory, so they are loaded and stored once
/// for all rows.
template <class Arch, std::ptrdiff_t Rows, class T, class S>
inline void add_shifted_rows(const S* samples, std::ptrdiff_t stride, std::ptrdiff_t columns, const T* shift,
                             T* sum, T* square_sum) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto width = static_cast<std::ptrdiff_t>(B::size);
  std::ptrdiff_t j = 0;
  for (; j + width <= columns; j += width) {
    const B center = B::load_unaligned(shift + j);
    B first = B::load_unaligned(sum + j);
    B second = B::load_unaligned(square_sum + j);
    for (std::ptrdiff_t i = 0; i < Rows; ++i) {
      const B deviation = load_as<Arch, T>(samples + i * stride + j) - center;
      first += deviation;
      second = multiply_add<Arch, T>(deviation, deviation, second);
    }
    first.store_unaligned(sum + j);
    second.store_unaligned(square_sum + j);
  }
  for (; j < columns; ++j) {
    for (std::ptrdiff_t i = 0; i < Rows; ++i) {
      const T deviation = static_cast<T>(samples[i * stride + j]) - shift[j];
      sum[j] += deviation;
      square_sum[j] += deviation * deviation;
    }
  }
}

template <class Arch, class T, class S>
void add_shifted_moments(const S* samples, std::ptrdiff_t rows, std::ptrdiff_t stride, std::ptrdiff_t columns,
                         const T* shift, T* sum, T* square_sum) noexcept {
  // Eight rows share one load and one store of the sums. Hardware prefetchers can still follow eight streams.
  constexpr std::ptrdiff_t tile = 8;
  std::ptrdiff_t i = 0;
  for (; i + tile <= rows; i += tile) {
    add_shifted_rows<Arch, tile>(samples + i * stride, stride, columns, shift, sum, square_sum);
  }
  for (; i < rows; ++i) {
    add_shifted_rows<Arch, 1>(samples + i * stride, stride, columns, shift, sum, square_sum);
  }
}

// Entries: see kernels/entry.hpp.

template <class S>
struct AddShiftedMoments {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&add_shifted_moments<Arch, T, S>) {
    return &add_shifted_moments<Arch, T, S>;
  }
};

}  // namespace vbp::simd
