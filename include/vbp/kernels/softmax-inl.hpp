#pragma once
/// Bodies of softmax.hpp.

#include "vbp/kernels/detail/softmax.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/softmax.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void softmax(T* values, Index rows, Index columns, Index stride, T scale) noexcept {
  entry<simd::Softmax, T>()(values, rows, columns, stride, scale);
}

}  // namespace vbp::inline VBP_ABI::kernels
