#pragma once

#include <cmath>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::kernels::detail {

/// out = (x - mean) / sqrt(variance + epsilon) * weight + bias for each row, the variance from a second pass.
template <class Arch, class T>
void layer_norm(const T* x, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t x_stride,
                const T* weight, const T* bias, T epsilon, T* out, std::ptrdiff_t out_stride) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    const T* const row = x + i * x_stride;
    T* const to = out + i * out_stride;
    B sums(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) sums += B::load_unaligned(row + j);
    T sum = sum_lanes<Arch, T>(sums);
    for (std::ptrdiff_t j = whole; j < columns; ++j) sum += row[j];
    const T mean = sum / static_cast<T>(columns);
    B squares(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B deviation = B::load_unaligned(row + j) - B(mean);
      squares = multiply_add<Arch, T>(deviation, deviation, squares);
    }
    T square = sum_lanes<Arch, T>(squares);
    for (std::ptrdiff_t j = whole; j < columns; ++j) square += (row[j] - mean) * (row[j] - mean);
    const T factor = T(1) / std::sqrt(square / static_cast<T>(columns) + epsilon);
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B normalised = (B::load_unaligned(row + j) - B(mean)) * B(factor);
      multiply_add<Arch, T>(normalised, B::load_unaligned(weight + j), B::load_unaligned(bias + j))
          .store_unaligned(to + j);
    }
    for (std::ptrdiff_t j = whole; j < columns; ++j) to[j] = (row[j] - mean) * factor * weight[j] + bias[j];
  }
}

}  // namespace vbp::kernels::detail
