#pragma once
/// The backward pass of layer normalisation.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Number of rows that one task processes. The tasks' sums over rows are added in order, so their rounding
// depends only on this constant.
inline constexpr Index kNormRows = 64;

inline Index norm_blocks(Index rows) noexcept {
  return (rows + kNormRows - 1) / kNormRows;
}

}  // namespace detail

/// Number of elements of `partial` that layer_norm_backward() needs.
inline Index layer_norm_backward_elements(Index rows, Index columns) noexcept {
  return detail::norm_blocks(rows) * 2 * columns;
}

/// Computes the gradients of a loss, where y = layer_norm(x) and `gradient` [rows, columns] is the gradient
/// with respect to y. Adds the gradient with respect to x to input_gradient. Sets the gradients with respect
/// to weight and bias, [columns]. Recomputes mean and variance of x. `partial` is scratch memory. The result
/// does not depend on the number of threads.
template <class T>
void layer_norm_backward(const T* x, const T* gradient, Index rows, Index columns, const T* weight, T epsilon,
                         T* input_gradient, T* weight_gradient, T* bias_gradient, T* partial,
                         Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/layer_norm_backward-inl.hpp"
#endif
