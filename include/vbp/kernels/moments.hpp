#pragma once
/// Sums of deviations and of squared deviations for each column: the building block of streaming statistics.

#include <type_traits>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// sum[j] += sum_i (x_ij - shift[j]) and square_sum[j] += sum_i (x_ij - shift[j])^2 over `rows` rows with row
/// stride `stride`. Samples of type S (float or double) are converted to T before the subtraction.
template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/moments-inl.hpp"
#endif
