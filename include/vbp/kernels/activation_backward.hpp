#pragma once
/// The backward pass of GELU in its two forms.

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// From the activation's input x: hidden[i] = GELU(x[i]), which then need not have been kept, and
/// gradient[i] *= GELU'(x[i]), GELU'(x) = Phi(x) + x phi(x). hidden may be x.
template <class T>
void gelu_backward(const T* x, Index size, T* hidden, T* gradient) noexcept {
  table<T>().gelu_backward(x, size, hidden, gradient);
}

/// The same for the tanh approximation of GELU.
template <class T>
void gelu_tanh_backward(const T* x, Index size, T* hidden, T* gradient) noexcept {
  table<T>().gelu_tanh_backward(x, size, hidden, gradient);
}

}  // namespace vbp::inline VBP_ABI::kernels
