#pragma once

#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/softmax.hpp"

namespace vbp::kernels::detail {

/// Attention of a batch: rows of qkv [images * tokens, 3 * heads * head_dim] hold the heads of q, then of k,
/// then of v, and lie dense; out is [images * tokens, heads * head_dim] with rows `out_stride` apart.
template <class T>
struct AttentionOperands {
  const T* qkv = nullptr;
  std::ptrdiff_t images = 0;
  std::ptrdiff_t tokens = 0;
  std::ptrdiff_t heads = 0;
  std::ptrdiff_t head_dim = 0;
  T scale = T(1);
  T* out = nullptr;
  std::ptrdiff_t out_stride = 0;
};

/// Queries are worked on a register tile at a time: their scores fit the first-level cache.
template <class Arch, class T>
std::ptrdiff_t attention_blocks(std::ptrdiff_t tokens) noexcept {
  return (tokens + GemmShape<Arch, T>::rows - 1) / GemmShape<Arch, T>::rows;
}

template <class Arch, class T>
std::ptrdiff_t round_to_panel(std::ptrdiff_t columns) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  return (columns + width - 1) / width * width;
}

/// Elements of scratch of one task: packed keys and values, the scores of a block, and what the two products
/// need.
template <class Arch, class T>
std::ptrdiff_t attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  constexpr std::ptrdiff_t rows = GemmShape<Arch, T>::rows;
  return round_to_panel<Arch, T>(tokens) * (head_dim + rows) + round_to_panel<Arch, T>(head_dim) * tokens +
         std::max(gemm_scratch_elements<Arch, T>(rows, tokens),
                  gemm_scratch_elements<Arch, T>(rows, head_dim));
}

/// Blocks [begin, end) of queries, numbered by image, head, block: out = softmax(scale q k^T) v. A head's
/// keys and values are packed by every task that has a block of it.
template <class Arch, class T>
void attention_task(const AttentionOperands<T>& operands, std::ptrdiff_t begin, std::ptrdiff_t end,
                    T* scratch) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t tokens = operands.tokens;
  const std::ptrdiff_t head_dim = operands.head_dim;
  const std::ptrdiff_t dim = operands.heads * head_dim;
  const std::ptrdiff_t blocks = attention_blocks<Arch, T>(tokens);
  const std::ptrdiff_t score_stride = round_to_panel<Arch, T>(tokens);
  const std::ptrdiff_t padded = (tokens + lanes - 1) / lanes * lanes;
  T* const keys = scratch;
  T* const values = keys + score_stride * head_dim;
  T* const scores = values + round_to_panel<Arch, T>(head_dim) * tokens;
  T* const rest = scores + score_stride * GemmShape<Arch, T>::rows;
  const std::ptrdiff_t whole = padded - lanes;
  // Keys that fill the last vector up get no weight.
  alignas(64) T mask[B::size];
  for (std::ptrdiff_t j = 0; j < lanes; ++j) {
    mask[j] = whole + j < tokens ? T(0) : -std::numeric_limits<T>::infinity();
  }
  const B absent = B::load_aligned(mask);
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const std::ptrdiff_t block = i % blocks;
    const std::ptrdiff_t head = i / blocks % operands.heads;
    const std::ptrdiff_t image = i / blocks / operands.heads;
    const T* const q = operands.qkv + image * tokens * 3 * dim + head * head_dim;
    if (i == begin || block == 0) {
      pack_panels<Arch, T>(q + dim, tokens, head_dim, 3 * dim, keys);
      pack_panels_transposed<Arch, T>(q + 2 * dim, head_dim, tokens, 3 * dim, values);
    }
    const std::ptrdiff_t first = block * tokens / blocks;
    const std::ptrdiff_t rows = (block + 1) * tokens / blocks - first;
    T* const out = operands.out + (image * tokens + first) * operands.out_stride + head * head_dim;
    gemm_whole<Arch, T>({.a = q + first * 3 * dim,
                         .a_stride = 3 * dim,
                         .rows = rows,
                         .packed = keys,
                         .columns = padded,
                         .depth = head_dim,
                         .epilogue = {},
                         .c = scores,
                         .c_stride = score_stride},
                        rest);
    // Step by step over all rows: a reduction over lanes waits for itself, but not for the next row's.
    T factors[GemmShape<Arch, T>::rows];
    B sums[GemmShape<Arch, T>::rows];
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const weights = scores + row * score_stride;
      (B::load_aligned(weights + whole) + absent).store_aligned(weights + whole);
      factors[row] = largest<Arch, T>(weights, whole, weights + whole);
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const weights = scores + row * score_stride;
      sums[row] = exponentials<Arch, T>(weights, whole, weights + whole, factors[row], operands.scale);
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) factors[row] = T(1) / sum_lanes<Arch, T>(sums[row]);
    gemm_whole<Arch, T>({.a = scores,
                         .a_stride = score_stride,
                         .rows = rows,
                         .packed = values,
                         .columns = head_dim,
                         .depth = tokens,
                         .epilogue = {},
                         .c = out,
                         .c_stride = operands.out_stride},
                        rest);
    // The sums divide the result, which has fewer columns than the weights.
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const to = out + row * operands.out_stride;
      const std::ptrdiff_t vectors = head_dim / lanes * lanes;
      for (std::ptrdiff_t j = 0; j < vectors; j += lanes) {
        (B::load_unaligned(to + j) * B(factors[row])).store_unaligned(to + j);
      }
      for (std::ptrdiff_t j = vectors; j < head_dim; ++j) to[j] *= factors[row];
    }
  }
}

}  // namespace vbp::kernels::detail
