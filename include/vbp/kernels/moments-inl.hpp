#pragma once
/// Bodies of moments.hpp.

#include "vbp/kernels/detail/moments.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/moments.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T, class S>
void add_shifted_moments(const S* samples, Index rows, Index stride, Index columns, const T* shift, T* sum,
                         T* square_sum) noexcept {
  if constexpr (std::is_same_v<S, float>) {
    entry<simd::AddShiftedMoments<float>, T>()(samples, rows, stride, columns, shift, sum, square_sum);
  } else {
    entry<simd::AddShiftedMoments<double>, T>()(samples, rows, stride, columns, shift, sum, square_sum);
  }
}

}  // namespace vbp::inline VBP_ABI::kernels
