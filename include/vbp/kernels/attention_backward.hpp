#pragma once
/// The backward pass of multi-head self-attention.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Scratch of one thread of attention_backward, in elements.
template <class T>
Index attention_backward_scratch_elements(Index tokens, Index head_dim) noexcept;

/// For out = attention(qkv) and the gradient of a loss by out [images * tokens, heads * head_dim]: sets
/// qkv_gradient, shaped like qkv. The softmax is computed anew and never leaves the cache.
template <class T>
void attention_backward(const T* qkv, const T* gradient, Index images, Index tokens, Index heads,
                        Index head_dim, T* qkv_gradient, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/attention_backward-inl.hpp"
#endif
