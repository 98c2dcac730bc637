#pragma once
/// Sums of deviations and of their squares, column by column: what streaming statistics are made of.

#include <type_traits>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// sum[j] += sum_i (x_ij - shift[j]) and square_sum[j] += sum_i (x_ij - shift[j])^2 over `rows` rows that
/// are `stride` elements apart. S (float or double) is converted to T before anything is subtracted.
template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/moments-inl.hpp"
#endif
