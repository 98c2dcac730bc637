#pragma once
/// Bodies of activation_backward.hpp.

#include "vbp/kernels/activation_backward.hpp"
#include "vbp/kernels/detail/activation_backward.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void gelu_backward(const T* x, Index size, T* hidden, T* gradient) noexcept {
  entry<simd::GeluBackward, T>()(x, size, hidden, gradient);
}

template <class T>
void gelu_tanh_backward(const T* x, Index size, T* hidden, T* gradient) noexcept {
  entry<simd::GeluTanhBackward, T>()(x, size, hidden, gradient);
}

}  // namespace vbp::inline VBP_ABI::kernels
