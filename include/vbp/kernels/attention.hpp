#pragma once
/// Multi-head self-attention of a batch, the scores of a head never leaving the cache.

#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = softmax(q k^T / sqrt(head_dim)) v for each of `images` x `heads`. A row of qkv [images * tokens,
/// 3 * heads * head_dim] holds the heads of q, then of k, then of v; out is [images * tokens, heads *
/// head_dim] with rows `out_stride` apart. The result does not depend on the number of threads.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Index out_stride, Workspace<T>& workspace);

/// The same with the rows of `out` dense.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/attention-inl.hpp"
#endif
