#pragma once
/// Bodies of window_attention_backward.hpp.

#include <algorithm>
#include <cmath>

#include "vbp/kernels/detail/attention_backward.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/window_attention-inl.hpp"
#include "vbp/kernels/window_attention_backward.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
Index window_attention_backward_elements(Index maps, const PackedWindows<T>& windows) noexcept {
  const Index of_chunk =
      windows.heads() * (windows.layout().tokens() * windows.bias_stride() + 3 * windows.head_dim());
  return detail::window_chunks(maps, windows.layout().windows()) * of_chunk;
}

template <class T>
void window_attention_backward(const T* qkv, const T* gradient, Index maps, const PackedWindows<T>& windows,
                               const T* padding, T* qkv_gradient, T* padding_gradient,
                               Matrix<T>& table_gradient, T* partial, Workspace<T>& workspace) {
  const WindowLayout& layout = windows.layout();
  const Index tokens = layout.tokens();
  const Index heads = windows.heads();
  const Index dim = heads * windows.head_dim();
  const Index together = detail::window_maps_together(layout.windows());
  const Index chunks = detail::window_chunks(maps, layout.windows());
  const Index map_rows = layout.side * layout.side;
  const Index scores = tokens * windows.bias_stride();
  T* const paddings = partial + chunks * heads * scores;
  workspace.reserve(entry<simd::WindowAttentionBackwardScratchElements, T>()(tokens, windows.head_dim()));
  workspace.pool().parallel_for(chunks * heads, [&](Index task, int worker) {
    const Index chunk = task / heads;
    const Index head = task % heads;
    const Index first = chunk * together;
    const simd::WindowOperands<T> operands =
        window_operands(qkv + first * map_rows * 3 * dim, windows, padding);
    entry<simd::WindowAttentionBackwardTask, T>()(
        operands, head, std::min(together, maps - first), gradient + first * map_rows * dim,
        qkv_gradient + first * map_rows * 3 * dim, paddings + chunk * 3 * dim, partial + task * scores,
        workspace.scratch(worker));
  });
  std::fill_n(padding_gradient, 3 * dim, T(0));
  for (Index chunk = 0; chunk < chunks; ++chunk) {
    for (Index j = 0; j < 3 * dim; ++j) padding_gradient[j] += paddings[chunk * 3 * dim + j];
  }
  table_gradient.setZero();
  const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table_gradient.rows()))));
  workspace.pool().parallel_for(heads, [&](Index head) {
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      const T* from = partial + (chunk * heads + head) * scores;
      for (Index query = 0; query < tokens; ++query, from += windows.bias_stride()) {
        for (Index key = 0; key < tokens; ++key) {
          table_gradient(layout.table_row(query, key, places), head) += from[key];
        }
      }
    }
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
