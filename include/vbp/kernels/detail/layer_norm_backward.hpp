#pragma once

#include <cmath>

#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// The backward pass of layer norm for some rows. With n = (x - mean) / sqrt(variance + epsilon) and g =
/// gradient * weight: input_gradient += (g - mean(g) - n mean(g n)) / sqrt(variance + epsilon). Over the
/// rows, weight_gradient += the sum of gradient * n, and bias_gradient += the sum of gradient.
template <class Arch, class T>
void layer_norm_backward(const T* x, const T* gradient, std::ptrdiff_t rows, std::ptrdiff_t columns,
                         const T* weight, T epsilon, T* input_gradient, T* weight_gradient,
                         T* bias_gradient) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  const T count = static_cast<T>(columns);
  for (std::ptrdiff_t i = 0; i < rows; ++i, x += columns, gradient += columns, input_gradient += columns) {
    B sums(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) sums += B::load_unaligned(x + j);
    T sum = sum_lanes<Arch, T>(sums);
    for (std::ptrdiff_t j = whole; j < columns; ++j) sum += x[j];
    const T mean = sum / count;
    B squares(T(0)), direct(T(0)), crossed(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B deviation = B::load_unaligned(x + j) - B(mean);
      const B scaled = B::load_unaligned(gradient + j) * B::load_unaligned(weight + j);
      squares = multiply_add<Arch, T>(deviation, deviation, squares);
      direct += scaled;
      crossed = multiply_add<Arch, T>(scaled, deviation, crossed);
    }
    T square = sum_lanes<Arch, T>(squares);
    T mean_g = sum_lanes<Arch, T>(direct);
    T mean_gn = sum_lanes<Arch, T>(crossed);
    for (std::ptrdiff_t j = whole; j < columns; ++j) {
      const T deviation = x[j] - mean;
      square += deviation * deviation;
      mean_g += gradient[j] * weight[j];
      mean_gn += gradient[j] * weight[j] * deviation;
    }
    const T factor = T(1) / std::sqrt(square / count + epsilon);
    mean_g /= count;
    mean_gn *= factor / count;
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B normalised = (B::load_unaligned(x + j) - B(mean)) * B(factor);
      const B given = B::load_unaligned(gradient + j);
      const B scaled = given * B::load_unaligned(weight + j);
      const B inner = scaled - multiply_add<Arch, T>(normalised, B(mean_gn), B(mean_g));
      multiply_add<Arch, T>(inner, B(factor), B::load_unaligned(input_gradient + j))
          .store_unaligned(input_gradient + j);
      multiply_add<Arch, T>(given, normalised, B::load_unaligned(weight_gradient + j))
          .store_unaligned(weight_gradient + j);
      (B::load_unaligned(bias_gradient + j) + given).store_unaligned(bias_gradient + j);
    }
    for (std::ptrdiff_t j = whole; j < columns; ++j) {
      const T normalised = (x[j] - mean) * factor;
      input_gradient[j] += (gradient[j] * weight[j] - mean_g - normalised * mean_gn) * factor;
      weight_gradient[j] += gradient[j] * normalised;
      bias_gradient[j] += gradient[j];
    }
  }
}

// Entries: see kernels/entry.hpp.

struct LayerNormBackward {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&layer_norm_backward<Arch, T>) {
    return &layer_norm_backward<Arch, T>;
  }
};

}  // namespace vbp::simd
