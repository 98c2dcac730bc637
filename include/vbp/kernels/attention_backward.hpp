#pragma once
/// The backward pass of multi-head self-attention.

#include <cmath>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Scratch of one thread of attention_backward, in elements.
template <class T>
Index attention_backward_scratch_elements(Index tokens, Index head_dim) noexcept {
  return table<T>().attention_backward_scratch_elements(tokens, head_dim);
}

/// For out = attention(qkv) and the gradient of a loss by out [images * tokens, heads * head_dim]: sets
/// qkv_gradient, shaped like qkv. The softmax is computed anew and never leaves the cache.
template <class T>
void attention_backward(const T* qkv, const T* gradient, Index images, Index tokens, Index heads,
                        Index head_dim, T* qkv_gradient, Workspace<T>& workspace) {
  workspace.reserve(attention_backward_scratch_elements<T>(tokens, head_dim));
  const Index dim = heads * head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(head_dim));
  workspace.pool().parallel_for(images * heads, [&](Index task, int worker) {
    const Index offset = task / heads * tokens * dim;
    const Index column = task % heads * head_dim;
    const simd::AttentionHead<T> head = {
        .q = qkv + 3 * offset + column, .part = dim, .stride = 3 * dim, .bias = nullptr, .bias_stride = 0};
    table<T>().attention_head_backward(head, tokens, head_dim, scale, gradient + offset + column, dim,
                                       qkv_gradient + 3 * offset + column, nullptr,
                                       workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
