#pragma once
/// Layer normalisation (Ba, Kiros, Hinton 2016) over the last dimension.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = (x - mean) / sqrt(variance + epsilon) * weight + bias for each of `rows` rows with `columns` values.
/// The variance is the sum of squared deviations divided by `columns`. weight and bias are [columns]. out may
/// be the same memory as x.
template <class T>
void layer_norm(const T* x, Index x_stride, Index rows, Index columns, const T* weight, const T* bias,
                T epsilon, T* out, Index out_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/layer_norm-inl.hpp"
#endif
