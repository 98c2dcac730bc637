#pragma once
/// GELU in its two forms, elementwise.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out[i] = x[i] Phi(x[i]), the exact GELU; out may be x. NaN gives NaN. float: the error is below 1e-7, or 2
/// units in the last place where x > 2; minus infinity gives its limit, zero, within that.
template <class T>
void gelu(const T* x, Index size, T* out) noexcept;

/// out[i] = 0.5 x[i] (1 + tanh(sqrt(2 / pi) (x[i] + 0.044715 x[i]^3))), the tanh approximation of GELU; out
/// may be x. NaN and minus infinity as in gelu. float: the error is below 2e-7, or 2 units in the last place
/// where x > 2.
template <class T>
void gelu_tanh(const T* x, Index size, T* out) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/activation-inl.hpp"
#endif
