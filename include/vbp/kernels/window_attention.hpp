#pragma once
/// Attention within the windows of feature maps (Liu et al. 2021), shifted or not, with relative position
/// bias.

#include <cstdint>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
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
VBP_FUNCTION std::vector<std::int32_t> window_rows(const WindowLayout& layout);

/// Windows of a layout made ready for attention: where their tokens are, and what is added to their scores.
template <class T>
class PackedWindows {
 public:
  PackedWindows() = default;

  /// `table` is [(2 w - 1)^2, heads] for a w of at least layout.window: row (w - 1 + dy) (2 w - 1) + w - 1 +
  /// dx holds what is added to the scaled score of a query for a key dy pixels above and dx to the left of
  /// it. In shifted windows at the lower and right border, which hold pixels from opposite ends of the map,
  /// -100 is added to the scores between these, as the authors do. `head_dim` is what scores are scaled by.
  PackedWindows(const WindowLayout& layout, const MatrixView<T>& table, Index head_dim);

  /// Takes other biases over, in a table of the same shape.
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
  std::vector<std::int32_t> kinds_;  ///< [windows]: which bias is a window's
  Index heads_ = 0;
  Index head_dim_ = 0;
  Index bias_stride_ = 0;  ///< whole vectors of every architecture
  AlignedBuffer<T> bias_;  ///< [kinds, heads, tokens, bias_stride]
};

/// out = softmax(q k^T / sqrt(head_dim) + bias) v within each window of `maps` maps and for each head. Rows
/// of qkv [maps * side * side, 3 * heads * head_dim] lie as those of attention's and in the order of the
/// map's pixels, and so do those of out [maps * side * side, heads * head_dim], `out_stride` apart. `padding`
/// is the row of qkv that stands for pixels that fill windows up. The result does not depend on the number of
/// threads.
template <class T>
void window_attention(const T* qkv, Index maps, const PackedWindows<T>& windows, const T* padding, T* out,
                      Index out_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/window_attention-inl.hpp"
#endif
