#pragma once
/// The backward pass of GELU in its two forms.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// From the activation's input x: hidden[i] = GELU(x[i]), which then need not have been kept, and
/// gradient[i] *= GELU'(x[i]), GELU'(x) = Phi(x) + x phi(x). hidden may be x.
template <class T>
void gelu_backward(const T* x, Index size, T* hidden, T* gradient) noexcept;

/// The same for the tanh approximation of GELU.
template <class T>
void gelu_tanh_backward(const T* x, Index size, T* hidden, T* gradient) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/activation_backward-inl.hpp"
#endif
