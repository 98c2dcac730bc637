#pragma once
/// Bodies of window_attention.hpp.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/window_attention.hpp"

namespace vbp::inline VBP_ABI::kernels {

VBP_FUNCTION std::vector<std::int32_t> window_rows(const WindowLayout& layout) {
  const Index across = layout.windows_on_side();
  const Index padded = across * layout.window;
  // For each position along a side of the shifted map: its position in the map, or -1 for padding.
  std::vector<Index> source(static_cast<std::size_t>(padded));
  for (Index place = 0; place < padded; ++place) {
    const Index period = layout.pad_before_shift ? padded : layout.side;
    const Index from = place < period ? (place + layout.shift) % period : layout.side;
    source[static_cast<std::size_t>(place)] = from < layout.side ? from : -1;
  }
  std::vector<std::int32_t> rows;
  rows.reserve(static_cast<std::size_t>(padded * padded));
  for (Index window = 0; window < layout.windows(); ++window) {
    for (Index token = 0; token < layout.tokens(); ++token) {
      const Index row = window / across * layout.window + token / layout.window;
      const Index column = window % across * layout.window + token % layout.window;
      const Index from_row = source[static_cast<std::size_t>(row)];
      const Index from_column = source[static_cast<std::size_t>(column)];
      const bool padding = from_row < 0 || from_column < 0;
      rows.push_back(static_cast<std::int32_t>(padding ? -1 : from_row * layout.side + from_column));
    }
  }
  return rows;
}

template <class T>
PackedWindows<T>::PackedWindows(const WindowLayout& layout, const MatrixView<T>& table, Index head_dim)
    : layout_(layout), rows_(window_rows(layout)), heads_(table.cols()), head_dim_(head_dim) {
  const Index across = layout.windows_on_side();
  for (Index window = 0; window < layout.windows(); ++window) {
    const bool lowest = layout.shift > 0 && window / across == across - 1;
    const bool last = layout.shift > 0 && window % across == across - 1;
    kinds_.push_back((lowest ? 2 : 0) + (last ? 1 : 0));
  }
  constexpr Index line = AlignedBuffer<T>::kAlignment / sizeof(T);
  bias_stride_ = (layout.tokens() + line - 1) / line * line;
  set_table(table);
}

template <class T>
void PackedWindows<T>::set_table(const MatrixView<T>& table) {
  const Index tokens = layout_.tokens();
  const Index kinds = layout_.shift > 0 ? 4 : 1;
  bias_.reserve(kinds * heads_ * tokens * bias_stride_);
  std::fill_n(bias_.data(), bias_.size(), T(0));
  const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table.rows()))));
  // The kernel adds the bias before it multiplies the scores by 1 / sqrt(head_dim), so the bias is multiplied
  // by the inverse factor here.
  const T factor = std::sqrt(static_cast<T>(head_dim_));
  T* to = bias_.data();
  for (Index kind = 0; kind < kinds; ++kind) {
    // Tokens of a shifted window attend to each other only if they come from the same region of the map.
    const auto region = [&](Index token) {
      const Index border = layout_.window - layout_.shift;
      return (kind / 2 == 1 && token / layout_.window >= border ? 2 : 0) +
             (kind % 2 == 1 && token % layout_.window >= border ? 1 : 0);
    };
    for (Index head = 0; head < heads_; ++head) {
      for (Index query = 0; query < tokens; ++query, to += bias_stride_) {
        for (Index key = 0; key < tokens; ++key) {
          const T hidden = region(query) == region(key) ? T(0) : T(-100);
          to[key] = factor * (table(layout_.table_row(query, key, places), head) + hidden);
        }
      }
    }
  }
}

/// The operands of the kernels for all windows of one map, without the output.
template <class T>
simd::WindowOperands<T> window_operands(const T* qkv, const PackedWindows<T>& windows, const T* padding) {
  const WindowLayout& layout = windows.layout();
  return {.attention = {.qkv = qkv,
                        .images = layout.windows(),
                        .tokens = layout.tokens(),
                        .heads = windows.heads(),
                        .head_dim = windows.head_dim(),
                        .scale = T(1) / std::sqrt(static_cast<T>(windows.head_dim())),
                        .out = nullptr,
                        .out_stride = 0},
          .windows = layout.windows(),
          .map_rows = layout.side * layout.side,
          .rows = windows.rows(),
          .padding = padding,
          .bias = windows.bias(),
          .bias_stride = windows.bias_stride(),
          .kinds = windows.kinds()};
}

template <class T>
void window_attention(const T* qkv, Index maps, const PackedWindows<T>& windows, const T* padding, T* out,
                      Index out_stride, Workspace<T>& workspace) {
  const WindowLayout& layout = windows.layout();
  const Index tokens = layout.tokens();
  workspace.reserve(entry<simd::WindowAttentionScratchElements, T>()(tokens, windows.head_dim()));
  simd::WindowOperands<T> operands = window_operands(qkv, windows, padding);
  operands.attention.images = maps * layout.windows();
  operands.attention.out = out;
  operands.attention.out_stride = out_stride;
  const Index heads = operands.attention.images * operands.attention.heads;
  const Index blocks = heads * entry<simd::AttentionBlocks, T>()(tokens);
  const Index threads = workspace.pool().size();
  // Equal but long runs of blocks, as in attention(). There are usually many more heads than threads, so up
  // to 16 runs per thread are still long.
  const Index tasks = std::min(threads * std::clamp<Index>(heads / (2 * threads), 1, 16), blocks);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    entry<simd::WindowAttentionTask, T>()(operands, task * blocks / tasks, (task + 1) * blocks / tasks,
                                          workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
