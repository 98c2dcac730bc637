#pragma once
/// Layer normalisation (Ba, Kiros, Hinton 2016) over the last dimension.

#include <algorithm>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = (x - mean) / sqrt(variance + epsilon) * weight + bias for each of `rows` rows of `columns` values;
/// the variance is divided by `columns`. out may be x.
template <class T>
void layer_norm(const T* x, Index x_stride, Index rows, Index columns, const T* weight, const T* bias,
                T epsilon, T* out, Index out_stride, Workspace<T>& workspace) {
  // About 64 KiB a task: long beside the cost of handing it out.
  const Index block = std::max<Index>(1, 16384 / columns);
  workspace.pool().parallel_for((rows + block - 1) / block, [&](Index task) {
    const Index first = task * block;
    table<T>().layer_norm(x + first * x_stride, std::min(block, rows - first), columns, x_stride, weight,
                          bias, epsilon, out + first * out_stride, out_stride);
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
