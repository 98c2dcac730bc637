#pragma once
/// Sums of deviations and of their squares, column by column: what streaming statistics are made of.

#include <type_traits>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// sum[j] += sum_i (x_ij - shift[j]) and square_sum[j] += sum_i (x_ij - shift[j])^2 over `rows` rows that
/// are `stride` elements apart. S (float or double) is converted to T before anything is subtracted.
template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept {
  if constexpr (std::is_same_v<S, float>) {
    table<T>().add_shifted_moments_of_float(samples, rows, stride, columns, shift, sum, square_sum);
  } else {
    table<T>().add_shifted_moments_of_double(samples, rows, stride, columns, shift, sum, square_sum);
  }
}

}  // namespace vbp::inline VBP_ABI::kernels
