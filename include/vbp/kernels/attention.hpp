#pragma once
/// Multi-head self-attention of a batch, the scores of a head never leaving the cache.

#include <algorithm>
#include <cmath>

#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// out = softmax(q k^T / sqrt(head_dim)) v for each of `images` x `heads`. A row of qkv [images * tokens,
/// 3 * heads * head_dim] holds the heads of q, then of k, then of v; out is [images * tokens, heads *
/// head_dim] with rows `out_stride` apart. The result does not depend on the number of threads.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Index out_stride, Workspace<T>& workspace) {
  const KernelTable<T>& kernels = table<T>();
  workspace.reserve(kernels.attention_scratch_elements(tokens, head_dim));
  const simd::AttentionOperands<T> operands = {.qkv = qkv,
                                               .images = images,
                                               .tokens = tokens,
                                               .heads = heads,
                                               .head_dim = head_dim,
                                               .scale = T(1) / std::sqrt(static_cast<T>(head_dim)),
                                               .out = out,
                                               .out_stride = out_stride};
  const Index blocks = images * heads * kernels.attention_blocks(tokens);
  // Equal runs of blocks, so that three heads keep two threads busy; but long ones, since a run that begins
  // inside a head packs its keys and values anew.
  const Index threads = workspace.pool().size();
  const Index tasks = std::min(threads * std::clamp<Index>(images * heads / (2 * threads), 1, 4), blocks);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    kernels.attention_task(operands, task * blocks / tasks, (task + 1) * blocks / tasks,
                           workspace.scratch(worker));
  });
}

/// The same with the rows of `out` dense.
template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Workspace<T>& workspace) {
  attention(qkv, images, tokens, heads, head_dim, out, heads * head_dim, workspace);
}

}  // namespace vbp::inline VBP_ABI::kernels
