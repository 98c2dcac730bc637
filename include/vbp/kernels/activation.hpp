#pragma once
/// GELU, exact and as tanh approximation, applied elementwise.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The exact GELU, out[i] = x[i] Phi(x[i]). `out` may be the same memory as `x`. NaN gives NaN. In float the
/// error is below 1e-7, or 2 units in the last place where x > 2. Minus infinity gives its limit, zero,
/// within that error.
template <class T>
void gelu(const T* x, Index size, T* out) noexcept;

/// The tanh approximation of GELU, out[i] = 0.5 x[i] (1 + tanh(sqrt(2 / pi) (x[i] + 0.044715 x[i]^3))). `out`
/// may be the same memory as `x`. NaN and minus infinity are treated as in gelu(). In float the error is
/// below 2e-7, or 2 units in the last place where x > 2.
template <class T>
void gelu_tanh(const T* x, Index size, T* out) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/activation-inl.hpp"
#endif
