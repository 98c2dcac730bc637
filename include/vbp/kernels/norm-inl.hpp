#pragma once
/// Bodies of norm.hpp.

#include "vbp/kernels/detail/norm.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/norm.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
double square_sum(const T* values, Index size) noexcept {
  return entry<simd::SquareSum, T>()(values, size);
}

}  // namespace vbp::inline VBP_ABI::kernels
