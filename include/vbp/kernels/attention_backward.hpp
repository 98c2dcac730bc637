#pragma once
/// The backward pass of multi-head self-attention.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Number of scratch elements that one thread of attention_backward() needs.
template <class T>
Index attention_backward_scratch_elements(Index tokens, Index head_dim) noexcept;

/// Computes the gradient of a loss with respect to qkv, where out = attention(qkv). `gradient` is the
/// gradient with respect to out, [images * tokens, heads * head_dim]. Sets qkv_gradient, which has the shape
/// of qkv. The softmax is recomputed block by block, so its values stay in the cache.
template <class T>
void attention_backward(const T* qkv, const T* gradient, Index images, Index tokens, Index heads,
                        Index head_dim, T* qkv_gradient, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/attention_backward-inl.hpp"
#endif
