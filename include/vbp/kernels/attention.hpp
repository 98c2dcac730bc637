#pragma once
/// Multi-head self-attention of a batch of images. The scores of a head stay in the cache.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = softmax(q k^T / sqrt(head_dim)) v for each head of each image. A row of qkv [images * tokens, 3 *
/// heads * head_dim] holds q of all heads, then k, then v. out is [images * tokens, heads * head_dim] with
/// row stride `out_stride`. The result does not depend on the number of threads.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Index out_stride, Workspace<T>& workspace);

/// The same attention, with contiguous rows of `out`.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/attention-inl.hpp"
#endif
