#pragma once
/// The backward pass of attention within windows.

#include <algorithm>

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Maps that one task takes, at least sixteen windows together, so that the sums of a task, a window's scores,
// are little beside its work. They are joined in order, so their rounding depends on this and on no thread.
inline Index window_maps_together(Index windows) noexcept {
  return std::max<Index>(1, 16 / windows);
}

inline Index window_chunks(Index maps, Index windows) noexcept {
  const Index together = window_maps_together(windows);
  return (maps + together - 1) / together;
}

}  // namespace detail

/// Elements of `partial` that window_attention_backward needs.
template <class T>
Index window_attention_backward_elements(Index maps, const PackedWindows<T>& windows) noexcept;

/// For out = window_attention(qkv) and the gradient of a loss by out [maps * side * side, heads * head_dim],
/// dense: sets qkv_gradient, shaped like qkv, and the gradients by `padding` [3 * heads * head_dim] and by
/// the table of biases that `windows` were made with, which table_gradient has the shape of. `partial` is
/// scratch. The result does not depend on the number of threads.
template <class T>
void window_attention_backward(const T* qkv, const T* gradient, Index maps, const PackedWindows<T>& windows,
                               const T* padding, T* qkv_gradient, T* padding_gradient,
                               Matrix<T>& table_gradient, T* partial, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/window_attention_backward-inl.hpp"
#endif
