#pragma once
/// The backward pass of attention within windows.

#include <algorithm>

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

namespace detail {

// Number of maps that one task processes: one, or more if they have at most sixteen windows together. A
// task's work is then large compared with its sums, which have the size of one window's scores. The sums of
// the tasks are added in order, so the rounding depends on this number and not on the number of threads.
inline Index window_maps_together(Index windows) noexcept {
  return std::max<Index>(1, 16 / windows);
}

inline Index window_chunks(Index maps, Index windows) noexcept {
  const Index together = window_maps_together(windows);
  return (maps + together - 1) / together;
}

}  // namespace detail

/// Number of elements of `partial` that window_attention_backward() needs.
template <class T>
Index window_attention_backward_elements(Index maps, const PackedWindows<T>& windows) noexcept;

/// Computes the gradients of a loss, where out = window_attention(qkv) and `gradient` is the gradient with
/// respect to out, [maps * side * side, heads * head_dim] with contiguous rows. Sets qkv_gradient, which has
/// the shape of qkv, padding_gradient [3 * heads * head_dim], and table_gradient, which has the shape of the
/// bias table of `windows`. `partial` is scratch memory. The result does not depend on the number of threads.
template <class T>
void window_attention_backward(const T* qkv, const T* gradient, Index maps, const PackedWindows<T>& windows,
                               const T* padding, T* qkv_gradient, T* padding_gradient,
                               Matrix<T>& table_gradient, T* partial, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/window_attention_backward-inl.hpp"
#endif
