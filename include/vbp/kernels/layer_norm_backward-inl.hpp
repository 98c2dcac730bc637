#pragma once
/// Bodies of layer_norm_backward.hpp.

#include <algorithm>

#include "vbp/kernels/detail/layer_norm_backward.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/layer_norm_backward.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void layer_norm_backward(const T* x, const T* gradient, Index rows, Index columns, const T* weight, T epsilon,
                         T* input_gradient, T* weight_gradient, T* bias_gradient, T* partial,
                         Workspace<T>& workspace) {
  const Index blocks = detail::norm_blocks(rows);
  workspace.pool().parallel_for(blocks, [&](Index block) {
    const Index first = block * detail::kNormRows;
    T* const sums = partial + block * 2 * columns;
    std::fill_n(sums, 2 * columns, T(0));
    entry<simd::LayerNormBackward, T>()(x + first * columns, gradient + first * columns,
                                        std::min(detail::kNormRows, rows - first), columns, weight, epsilon,
                                        input_gradient + first * columns, sums, sums + columns);
  });
  std::fill_n(weight_gradient, columns, T(0));
  std::fill_n(bias_gradient, columns, T(0));
  for (Index block = 0; block < blocks; ++block) {
    const T* const sums = partial + block * 2 * columns;
    for (Index j = 0; j < columns; ++j) weight_gradient[j] += sums[j];
    for (Index j = 0; j < columns; ++j) bias_gradient[j] += sums[columns + j];
  }
}

}  // namespace vbp::inline VBP_ABI::kernels
