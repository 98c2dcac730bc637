#pragma once
/// The squared Euclidean norm of a vector.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The sum of squares, computed in double precision for any T.
template <class T>
double square_sum(const T* values, Index size) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/norm-inl.hpp"
#endif
