#pragma once
/// The squared Euclidean norm of a vector.

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The sum of squares in double precision, whatever T is.
template <class T>
double square_sum(const T* values, Index size) noexcept {
  return table<T>().square_sum(values, size);
}

}  // namespace vbp::inline VBP_ABI::kernels
