#pragma once
/// Attention within the windows of feature maps (Liu et al. 2021), shifted or not, with relative position
/// bias.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// How a square map is divided into windows: shifted by `shift` pixels to the upper left, cyclically, and
/// filled up to whole windows, behind the shifted map or, with `pad_before_shift`, before it is shifted.
struct WindowLayout {
  Index side = 0;
  Index window = 0;
  Index shift = 0;  ///< less than `window`
  bool pad_before_shift = false;

  Index windows_on_side() const noexcept { return (side + window - 1) / window; }
  Index windows() const noexcept { return windows_on_side() * windows_on_side(); }
  Index tokens() const noexcept { return window * window; }
  /// The row that holds the bias of a query for a key, both tokens of a window, in a table of places * places
  /// rows.
  Index table_row(Index query, Index key, Index places) const noexcept {
    const Index down = query / window - key / window + places / 2;
    const Index right = query % window - key % window + places / 2;
    return down * places + right;
  }
};

/// The partition of a map as a table, [windows, tokens]: the row of the map (row by row from the upper left)
/// that is token t of window w, both row by row; -1 where there is none.
inline std::vector<std::int32_t> window_rows(const WindowLayout& layout) {
  const Index across = layout.windows_on_side();
  const Index padded = across * layout.window;
  // Where on a side of the map a place on a side of the shifted one comes from; -1 for padding.
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

/// Windows of a layout made ready for attention: where their tokens are, and what is added to their scores.
template <class T>
class PackedWindows {
 public:
  PackedWindows() = default;

  /// `table` is [(2 w - 1)^2, heads] for a w of at least layout.window: row (w - 1 + dy) (2 w - 1) + w - 1 +
  /// dx holds what is added to the scaled score of a query for a key dy pixels above and dx to the left of
  /// it. In shifted windows at the lower and right border, which hold pixels from opposite ends of the map,
  /// -100 is added to the scores between these, as the authors do. `head_dim` is what scores are scaled by.
  PackedWindows(const WindowLayout& layout, const MatrixView<T>& table, Index head_dim)
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

  /// Takes other biases over, in a table of the same shape.
  void set_table(const MatrixView<T>& table) {
    const Index tokens = layout_.tokens();
    const Index kinds = layout_.shift > 0 ? 4 : 1;
    bias_.reserve(kinds * heads_ * tokens * bias_stride_);
    std::fill_n(bias_.data(), bias_.size(), T(0));
    const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table.rows()))));
    // Added before the scores are scaled.
    const T factor = std::sqrt(static_cast<T>(head_dim_));
    T* to = bias_.data();
    for (Index kind = 0; kind < kinds; ++kind) {
      // Which end of the map a token of the window is from.
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

  const WindowLayout& layout() const noexcept { return layout_; }
  Index heads() const noexcept { return heads_; }
  Index head_dim() const noexcept { return head_dim_; }
  Index bytes() const noexcept {
    return bias_.size() * static_cast<Index>(sizeof(T)) +
           static_cast<Index>((rows_.size() + kinds_.size()) * sizeof(std::int32_t));
  }
  const std::int32_t* rows() const noexcept { return rows_.data(); }
  const std::int32_t* kinds() const noexcept { return kinds_.data(); }
  const T* bias() const noexcept { return bias_.data(); }
  Index bias_stride() const noexcept { return bias_stride_; }

 private:
  WindowLayout layout_;
  std::vector<std::int32_t> rows_;   ///< [windows, tokens]
  std::vector<std::int32_t> kinds_;  ///< [windows]: which bias is a window's
  Index heads_ = 0;
  Index head_dim_ = 0;
  Index bias_stride_ = 0;  ///< whole vectors of every architecture
  AlignedBuffer<T> bias_;  ///< [kinds, heads, tokens, bias_stride]
};

/// What the bodies read of windows and of what they are of.
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

/// out = softmax(q k^T / sqrt(head_dim) + bias) v within each window of `maps` maps and for each head. Rows
/// of qkv [maps * side * side, 3 * heads * head_dim] lie as those of attention's and in the order of the
/// map's pixels, and so do those of out [maps * side * side, heads * head_dim], `out_stride` apart. `padding`
/// is the row of qkv that stands for pixels that fill windows up. The result does not depend on the number of
/// threads.
template <class T>
void window_attention(const T* qkv, Index maps, const PackedWindows<T>& windows, const T* padding, T* out,
                      Index out_stride, Workspace<T>& workspace) {
  const WindowLayout& layout = windows.layout();
  const Index tokens = layout.tokens();
  const KernelTable<T>& kernels = table<T>();
  workspace.reserve(kernels.window_attention_scratch_elements(tokens, windows.head_dim()));
  simd::WindowOperands<T> operands = window_operands(qkv, windows, padding);
  operands.attention.images = maps * layout.windows();
  operands.attention.out = out;
  operands.attention.out_stride = out_stride;
  const Index heads = operands.attention.images * operands.attention.heads;
  const Index blocks = heads * kernels.attention_blocks(tokens);
  const Index threads = workspace.pool().size();
  // As for attention: equal runs of blocks, but long ones. There are enough heads for many of these.
  const Index tasks = std::min(threads * std::clamp<Index>(heads / (2 * threads), 1, 16), blocks);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    kernels.window_attention_task(operands, task * blocks / tasks, (task + 1) * blocks / tasks,
                                  workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
