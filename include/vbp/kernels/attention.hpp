#pragma once
/// Multi-head self-attention of a batch, the scores of a head never leaving the cache.

#include <algorithm>
#include <cmath>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::kernels {

/// Scratch of one thread of attention, in elements.
template <class T>
Index attention_scratch_elements(Index tokens, Index head_dim) noexcept {
  return detail::attention_scratch_elements<DefaultArch, T>(tokens, head_dim);
}

/// out = softmax(q k^T / sqrt(head_dim)) v for each of `images` x `heads`. A row of qkv [images * tokens,
/// 3 * heads * head_dim] holds the heads of q, then of k, then of v; out is [images * tokens, heads *
/// head_dim].
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Workspace<T>& workspace) {
  workspace.reserve(attention_scratch_elements<T>(tokens, head_dim));
  const Index dim = heads * head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(head_dim));
  // A single image may have fewer heads than there are threads: then the queries are divided too, at the
  // price of packing the head's keys and values once more.
  const Index threads = workspace.pool().size();
  const Index parts = std::clamp<Index>(2 * threads / (images * heads), 1, tokens);
  workspace.pool().parallel_for(images * heads * parts, [&](Index task, int worker) {
    const Index part = task % parts;
    const Index head = task / parts % heads;
    const Index image = task / parts / heads;
    const T* const q = qkv + image * tokens * 3 * dim + head * head_dim;
    detail::attention_head<DefaultArch, T>(q, q + dim, q + 2 * dim, 3 * dim, tokens, head_dim,
                                           part * tokens / parts, (part + 1) * tokens / parts, scale,
                                           out + image * tokens * dim + head * head_dim, dim,
                                           workspace.scratch(worker));
  });
}

}  // namespace vbp::kernels
