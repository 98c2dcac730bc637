#pragma once
/// The backward pass of layer normalisation.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Rows that one task takes. Sums over the rows are joined task by task in order, so their rounding depends
// on this constant and on nothing else.
inline constexpr Index kNormRows = 64;

inline Index norm_blocks(Index rows) noexcept {
  return (rows + kNormRows - 1) / kNormRows;
}

}  // namespace detail

/// Elements of `partial` that layer_norm_backward needs.
inline Index layer_norm_backward_elements(Index rows, Index columns) noexcept {
  return detail::norm_blocks(rows) * 2 * columns;
}

/// For y = layer_norm(x) and the gradient of a loss by y [rows, columns]: adds the gradient by x to
/// input_gradient and sets those by weight and bias. The statistics of x are computed anew. `partial` is
/// scratch. The result does not depend on the number of threads.
template <class T>
void layer_norm_backward(const T* x, const T* gradient, Index rows, Index columns, const T* weight, T epsilon,
                         T* input_gradient, T* weight_gradient, T* bias_gradient, T* partial,
                         Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/layer_norm_backward-inl.hpp"
#endif
