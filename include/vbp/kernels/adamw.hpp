#pragma once
/// One step of AdamW (Loshchilov and Hutter 2019) on one parameter.

#include "vbp/core/types.hpp"
#include "vbp/kernels/detail/operands.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The scalars of one step; simd::AdamWStep documents its members.
template <class T>
using AdamWStep = simd::AdamWStep<T>;

/// Updates one parameter of `size` values. With g = gradient_scale * gradient, it updates `first` and
/// `second`, the running means of g and g^2, and then sets values = decay_factor values - step_size first /
/// (second_correction sqrt(second) + epsilon).
template <class T>
void adamw_update(const T* gradient, Index size, const AdamWStep<T>& step, T* first, T* second,
                  T* values) noexcept;

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/adamw-inl.hpp"
#endif
