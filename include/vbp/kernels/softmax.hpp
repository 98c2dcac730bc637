#pragma once
/// The softmax of the rows of a matrix.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// In place, for each of `rows` rows with `columns` values: x <- exp(scale (x - max x)) / sum, scale > 0.
/// `stride` is the distance between rows. Each row sums to 1 within 1e-6 (float).
template <class T>
void softmax(T* values, Index rows, Index columns, Index stride, T scale) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/softmax-inl.hpp"
#endif
