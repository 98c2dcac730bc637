#pragma once
/// Sums of deviations and of their squares, column by column: what streaming statistics are made of.

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/detail/moments.hpp"

namespace vbp::kernels {

/// sum[j] += sum_i (x_ij - shift[j]) and square_sum[j] += sum_i (x_ij - shift[j])^2 over `rows` rows that
/// are `stride` elements apart. S (float or double) is converted to T before anything is subtracted.
template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept {
  detail::add_shifted_moments<DefaultArch>(samples, rows, stride, columns, shift, sum, square_sum);
}

}  // namespace vbp::kernels
