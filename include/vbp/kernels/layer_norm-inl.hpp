#pragma once
/// Bodies of layer_norm.hpp.

#include <algorithm>

#include "vbp/kernels/detail/layer_norm.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/layer_norm.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void layer_norm(const T* x, Index x_stride, Index rows, Index columns, const T* weight, const T* bias,
                T epsilon, T* out, Index out_stride, Workspace<T>& workspace) {
  // A task processes about 64 KiB, which takes much longer than starting the task.
  const Index block = std::max<Index>(1, 16384 / columns);
  workspace.pool().parallel_for((rows + block - 1) / block, [&](Index task) {
    const Index first = task * block;
    entry<simd::LayerNorm, T>()(x + first * x_stride, std::min(block, rows - first), columns, x_stride,
                                weight, bias, epsilon, out + first * out_stride, out_stride);
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
