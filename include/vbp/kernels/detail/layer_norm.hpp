#pragma once

#include <cmath>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// Normalises `Rows` rows at the same time. The additions of one row's sum depend on each other, but those of
/// different rows do not, so the CPU can overlap them.
template <class Arch, class T, std::ptrdiff_t Rows>
[[gnu::flatten]] inline void normalise_rows(const T* x, std::ptrdiff_t columns, std::ptrdiff_t x_stride,
                                            const T* weight, const T* bias, T epsilon, T* out,
                                            std::ptrdiff_t out_stride) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  B sums[Rows];
  unrolled<Rows>([&](auto i) { sums[i] = B(T(0)); });
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
    unrolled<Rows>([&](auto i) { sums[i] += B::load_unaligned(x + i * x_stride + j); });
  }
  T mean[Rows];
  unrolled<Rows>([&](auto i) {
    T sum = sum_lanes<Arch, T>(sums[i]);
    for (std::ptrdiff_t j = whole; j < columns; ++j) sum += x[i * x_stride + j];
    mean[i] = sum / static_cast<T>(columns);
    sums[i] = B(T(0));
  });
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
    unrolled<Rows>([&](auto i) {
      const B deviation = B::load_unaligned(x + i * x_stride + j) - B(mean[i]);
      sums[i] = multiply_add<Arch, T>(deviation, deviation, sums[i]);
    });
  }
  T factor[Rows];
  unrolled<Rows>([&](auto i) {
    T square = sum_lanes<Arch, T>(sums[i]);
    for (std::ptrdiff_t j = whole; j < columns; ++j) {
      square += (x[i * x_stride + j] - mean[i]) * (x[i * x_stride + j] - mean[i]);
    }
    factor[i] = T(1) / std::sqrt(square / static_cast<T>(columns) + epsilon);
  });
  for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
    const B scale = B::load_unaligned(weight + j);
    const B shift = B::load_unaligned(bias + j);
    unrolled<Rows>([&](auto i) {
      const B normalised = (B::load_unaligned(x + i * x_stride + j) - B(mean[i])) * B(factor[i]);
      multiply_add<Arch, T>(normalised, scale, shift).store_unaligned(out + i * out_stride + j);
    });
  }
  unrolled<Rows>([&](auto i) {
    for (std::ptrdiff_t j = whole; j < columns; ++j) {
      out[i * out_stride + j] = (x[i * x_stride + j] - mean[i]) * factor[i] * weight[j] + bias[j];
    }
  });
}

/// out = (x - mean) / sqrt(variance + epsilon) * weight + bias for each row. The variance is computed in a
/// second pass over the row.
template <class Arch, class T>
void layer_norm(const T* x, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t x_stride,
                const T* weight, const T* bias, T epsilon, T* out, std::ptrdiff_t out_stride) noexcept {
  constexpr std::ptrdiff_t together = 4;
  std::ptrdiff_t i = 0;
  for (; i + together <= rows; i += together) {
    normalise_rows<Arch, T, together>(x + i * x_stride, columns, x_stride, weight, bias, epsilon,
                                      out + i * out_stride, out_stride);
  }
  for (; i < rows; ++i) {
    normalise_rows<Arch, T, 1>(x + i * x_stride, columns, x_stride, weight, bias, epsilon,
                               out + i * out_stride, out_stride);
  }
}

// Entries: see kernels/entry.hpp.

struct LayerNorm {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&layer_norm<Arch, T>) {
    return &layer_norm<Arch, T>;
  }
};

}  // namespace vbp::simd
