#pragma once
/// Bodies of adamw.hpp.

#include "vbp/kernels/adamw.hpp"
#include "vbp/kernels/detail/adamw.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void adamw_update(const T* gradient, Index size, const AdamWStep<T>& step, T* first, T* second,
                  T* values) noexcept {
  entry<simd::AdamwUpdate, T>()(gradient, size, step, first, second, values);
}

}  // namespace vbp::inline VBP_ABI::kernels
