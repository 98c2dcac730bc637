#pragma once
/// Bodies of activation.hpp.

#include "vbp/kernels/activation.hpp"
#include "vbp/kernels/detail/math.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void gelu(const T* x, Index size, T* out) noexcept {
  entry<simd::Gelu, T>()(x, size, out);
}

template <class T>
void gelu_tanh(const T* x, Index size, T* out) noexcept {
  entry<simd::GeluTanh, T>()(x, size, out);
}

}  // namespace vbp::inline VBP_ABI::kernels
