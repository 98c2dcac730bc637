#pragma once
/// Bodies of attention_backward.hpp.

#include <cmath>

#include "vbp/kernels/attention_backward.hpp"
#include "vbp/kernels/detail/attention_backward.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
Index attention_backward_scratch_elements(Index tokens, Index head_dim) noexcept {
  return entry<simd::AttentionBackwardScratchElements, T>()(tokens, head_dim);
}

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
    entry<simd::AttentionHeadBackward, T>()(head, tokens, head_dim, scale, gradient + offset + column, dim,
                                            qkv_gradient + 3 * offset + column, nullptr,
                                            workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
