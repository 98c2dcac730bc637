#pragma once
/// Attention within the windows of feature maps (Liu et al. 2021), shifted or not, with a relative position
/// bias.

#include <cstdint>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// How a square map is divided into windows. The map is shifted cyclically by `shift` pixels to the upper
/// left. It is padded on the right and at the bottom to whole windows, after the shift or, with
/// `pad_before_shift`, before it.
struct WindowLayout {
  Index side = 0;
  Index window = 0;
  Index shift = 0;  ///< less than `window`
  bool pad_before_shift = false;

  Index windows_on_side() const noexcept { return (side + window - 1) / window; }
  Index windows() const noexcept { return windows_on_side() * windows_on_side(); }
  Index tokens() const noexcept { return window * window; }
  /// The row of the bias table, which has places * places rows, for a query and a key. Both are token numbers
  /// within a window.
  Index table_row(Index query, Index key, Index places) const noexcept {
    const Index down = query / window - key / window + places / 2;
    const Index right = query % window - key % window + places / 2;
    return down * places + right;
  }
};

/// The partition of a map as a table [windows, tokens]: the index of the pixel that is token t of window w,
/// or -1 for padding. Pixels, windows and tokens are numbered row by row from the upper left.
VBP_FUNCTION std::vector<std::int32_t> window_rows(const WindowLayout& layout);

/// The windows of a layout, prepared for attention: the positions of their tokens and the biases of their
/// scores.
template <class T>
class PackedWindows {
 public:
  PackedWindows() = default;

  /// `table` is the bias table, [(2 w - 1)^2, heads] with w >= layout.window. For a query and a key that lies
  /// dy pixels above it and dx pixels to its left, row (w - 1 + dy) (2 w - 1) + w - 1 + dx is added to the
  /// scaled score. Shifted windows at the lower and right border hold pixels from opposite ends of the map;
  /// -100 is added to the scores between those, as in the authors' code. Scores are scaled by 1 /
  /// sqrt(head_dim).
  PackedWindows(const WindowLayout& layout, const MatrixView<T>& table, Index head_dim);

  /// Replaces the biases by those of a table of the same shape.
  void set_table(const MatrixView<T>& table);

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
  std::vector<std::int32_t> kinds_;  ///< [windows]: the kind of each window, which selects its bias
  Index heads_ = 0;
  Index head_dim_ = 0;
  Index bias_stride_ = 0;  ///< in elements; rows are whole vectors for every instruction set
  AlignedBuffer<T> bias_;  ///< [kinds, heads, tokens, bias_stride]
};

/// out = softmax(q k^T / sqrt(head_dim) + bias) v within each window of `maps` maps, for each head. Both qkv
/// [maps * side * side, 3 * heads * head_dim] and out [maps * side * side, heads * head_dim] have one row per
/// pixel, in the order of the pixels. A row of qkv is laid out as in attention(); `out_stride` is the row
/// stride of out. `padding` is the row of qkv that stands for padding pixels. The result does not depend on
/// the number of threads.
template <class T>
void window_attention(const T* qkv, Index maps, const PackedWindows<T>& windows, const T* padding, T* out,
                      Index out_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/window_attention-inl.hpp"
#endif
