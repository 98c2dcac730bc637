#pragma once
/// Bodies of attention.hpp.

#include <algorithm>
#include <cmath>

#include "vbp/kernels/attention.hpp"
#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/entry-inl.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Index out_stride, Workspace<T>& workspace) {
  workspace.reserve(entry<simd::AttentionScratchElements, T>()(tokens, head_dim));
  const simd::AttentionOperands<T> operands = {.qkv = qkv,
                                               .images = images,
                                               .tokens = tokens,
                                               .heads = heads,
                                               .head_dim = head_dim,
                                               .scale = T(1) / std::sqrt(static_cast<T>(head_dim)),
                                               .out = out,
                                               .out_stride = out_stride};
  const Index blocks = images * heads * entry<simd::AttentionBlocks, T>()(tokens);
  // Equal runs of blocks keep all threads busy even if the heads cannot be divided evenly, for example three
  // heads over two threads. The runs should still be long: a run that starts in the middle of a head packs
  // the head's keys and values again.
  const Index threads = workspace.pool().size();
  const Index tasks = std::min(threads * std::clamp<Index>(images * heads / (2 * threads), 1, 4), blocks);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    entry<simd::AttentionTask, T>()(operands, task * blocks / tasks, (task + 1) * blocks / tasks,
                                    workspace.scratch(worker));
  });
}

template <class T>
void attention(const T* qkv, Index images, Index tokens, Index heads, Index head_dim, T* out,
               Workspace<T>& workspace) {
  attention(qkv, images, tokens, heads, head_dim, out, heads * head_dim, workspace);
}

}  // namespace vbp::inline VBP_ABI::kernels
