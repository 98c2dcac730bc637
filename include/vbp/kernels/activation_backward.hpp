#pragma once
/// The backward pass of GELU, exact and as tanh approximation.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Sets hidden[i] = GELU(x[i]) and gradient[i] *= GELU'(x[i]), where GELU'(x) = Phi(x) + x phi(x). It
/// recomputes the activation from its input x, so the forward pass need not store it. `hidden` may be the
/// same memory as `x`.
template <class T>
void gelu_backward(const T* x, Index size, T* hidden, T* gradient) noexcept;

/// Like gelu_backward(), for the tanh approximation of GELU.
template <class T>
void gelu_tanh_backward(const T* x, Index size, T* hidden, T* gradient) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/activation_backward-inl.hpp"
#endif
