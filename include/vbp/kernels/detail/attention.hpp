#pragma once

#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/softmax.hpp"

namespace vbp::kernels::detail {

/// Queries whose scores are in the cache at one time.
template <class Arch, class T>
inline constexpr std::ptrdiff_t kAttentionRows = 4 * GemmShape<Arch, T>::rows;

template <class Arch, class T>
std::ptrdiff_t round_to_panel(std::ptrdiff_t columns) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  return (columns + width - 1) / width * width;
}

/// Elements of scratch for one head: packed keys and values, the scores of a block of queries, and what the
/// two products need.
template <class Arch, class T>
std::ptrdiff_t attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  constexpr std::ptrdiff_t rows = kAttentionRows<Arch, T>;
  return round_to_panel<Arch, T>(tokens) * (head_dim + rows) + round_to_panel<Arch, T>(head_dim) * tokens +
         scratch_elements<Arch, T>(rows, tokens > head_dim ? tokens : head_dim);
}

/// Queries [begin, end) of one head of one image: out = softmax(scale q k^T) v. q, k, v and out are
/// [tokens, head_dim] with rows `stride` (out: `out_stride`) apart. The scores never leave the cache.
template <class Arch, class T>
void attention_head(const T* q, const T* k, const T* v, std::ptrdiff_t stride, std::ptrdiff_t tokens,
                    std::ptrdiff_t head_dim, std::ptrdiff_t begin, std::ptrdiff_t end, T scale, T* out,
                    std::ptrdiff_t out_stride, T* scratch) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  constexpr std::ptrdiff_t block = kAttentionRows<Arch, T>;
  const std::ptrdiff_t score_stride = round_to_panel<Arch, T>(tokens);
  T* const keys = scratch;
  T* const values = keys + score_stride * head_dim;
  T* const scores = values + round_to_panel<Arch, T>(head_dim) * tokens;
  T* const rest = scores + score_stride * block;
  pack_panels<Arch, T>(k, tokens, head_dim, stride, keys);
  pack_panels_transposed<Arch, T>(v, head_dim, tokens, stride, values);
  const EpilogueOperands<T> plain;
  for (std::ptrdiff_t row = begin; row < end; row += block) {
    const std::ptrdiff_t rows = std::min(block, end - row);
    gemm_task<Arch, T>(q + row * stride, stride, rows, keys, tokens, head_dim, 0, score_stride / width, plain,
                       scores, score_stride, rest);
    softmax<Arch, T>(scores, rows, tokens, score_stride, scale);
    gemm_task<Arch, T>(scores, score_stride, rows, values, head_dim, tokens, 0,
                       round_to_panel<Arch, T>(head_dim) / width, plain, out + row * out_stride, out_stride,
                       rest);
  }
}

}  // namespace vbp::kernels::detail
