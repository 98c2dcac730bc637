#pragma once

#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/detail/transpose.hpp"

namespace vbp::kernels::detail {

/// Queries whose scores are in the cache at one time.
template <class Arch, class T>
inline constexpr std::ptrdiff_t kBackwardRows = 4 * GemmShape<Arch, T>::rows;

/// Elements of scratch of attention_head_backward.
template <class Arch, class T>
std::ptrdiff_t attention_backward_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  constexpr std::ptrdiff_t rows = kBackwardRows<Arch, T>;
  const std::ptrdiff_t token_panels = round_to_panel<Arch, T>(tokens);
  const std::ptrdiff_t dim_panels = round_to_panel<Arch, T>(head_dim);
  // Keys and values as columns of scores, keys as rows; then, of a block of queries, the queries and the
  // gradient as rows, weights and their gradient, and one of these transposed.
  const std::ptrdiff_t products =
      std::max({gemm_scratch_elements<Arch, T>(rows, head_dim), gemm_scratch_elements<Arch, T>(rows, tokens),
                gemm_scratch_elements<Arch, T>(tokens, rows)});
  return 2 * token_panels * head_dim + dim_panels * tokens + 2 * dim_panels * rows + 2 * rows * token_panels +
         (tokens * rows + 15) / 16 * 16 + products;
}

/// row <- p (row - sum(p row)) scale for each row: the gradient by the scores from that by the softmax p.
template <class Arch, class T>
void softmax_backward(const T* p, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t stride, T scale,
                      T* gradient) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t whole = columns / lanes * lanes;
  for (std::ptrdiff_t i = 0; i < rows; ++i, p += stride, gradient += stride) {
    B sums(T(0));
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      sums = multiply_add<Arch, T>(B::load_unaligned(p + j), B::load_unaligned(gradient + j), sums);
    }
    T sum = sum_lanes<Arch, T>(sums);
    for (std::ptrdiff_t j = whole; j < columns; ++j) sum += p[j] * gradient[j];
    for (std::ptrdiff_t j = 0; j < whole; j += lanes) {
      const B centred = B::load_unaligned(gradient + j) - B(sum);
      (B::load_unaligned(p + j) * centred * B(scale)).store_unaligned(gradient + j);
    }
    for (std::ptrdiff_t j = whole; j < columns; ++j) gradient[j] = p[j] * (gradient[j] - sum) * scale;
  }
}

/// One head of one image. For out = p v, p = softmax(scale q k^T) and the gradient g of a loss by out: dv =
/// p^T g, dp = g v^T, ds = scale p (dp - rowsum(p dp)), dq = ds k, dk = ds^T q. p is computed anew, a block
/// of queries at a time. q, k, v and their gradients have rows `stride`, g has rows `g_stride` apart.
template <class Arch, class T>
void attention_head_backward(const T* q, const T* k, const T* v, std::ptrdiff_t stride, std::ptrdiff_t tokens,
                             std::ptrdiff_t head_dim, T scale, const T* g, std::ptrdiff_t g_stride, T* dq,
                             T* dk, T* dv, T* scratch) noexcept {
  constexpr std::ptrdiff_t block = kBackwardRows<Arch, T>;
  const std::ptrdiff_t score_stride = round_to_panel<Arch, T>(tokens);
  const std::ptrdiff_t dim_panels = round_to_panel<Arch, T>(head_dim);
  T* const keys = scratch;
  T* const values = keys + score_stride * head_dim;
  T* const key_rows = values + score_stride * head_dim;
  T* const query_rows = key_rows + dim_panels * tokens;
  T* const g_rows = query_rows + dim_panels * block;
  T* const p = g_rows + dim_panels * block;
  T* const dp = p + block * score_stride;
  T* const transposed = dp + block * score_stride;
  T* const rest = transposed + (tokens * block + 15) / 16 * 16;
  pack_panels<Arch, T>(k, tokens, head_dim, stride, keys);
  pack_panels<Arch, T>(v, tokens, head_dim, stride, values);
  pack_panels_transposed<Arch, T>(k, head_dim, tokens, stride, key_rows);
  for (std::ptrdiff_t row = 0; row < tokens; row += block) {
    const std::ptrdiff_t rows = std::min(block, tokens - row);
    // to [rows, columns] = a packed, or + a packed.
    const auto multiply = [&](const T* a, std::ptrdiff_t a_stride, std::ptrdiff_t a_rows, const T* packed,
                              std::ptrdiff_t columns, std::ptrdiff_t depth, T* to, std::ptrdiff_t to_stride,
                              bool add) noexcept {
      GemmOperands<T> product{.a = a,
                              .a_stride = a_stride,
                              .rows = a_rows,
                              .packed = packed,
                              .columns = columns,
                              .depth = depth,
                              .epilogue = {},
                              .c = to,
                              .c_stride = to_stride};
      if (add) product.epilogue = {EpilogueKind::scaled_residual, nullptr, nullptr, to, to_stride};
      gemm_whole<Arch, T>(product, rest);
    };
    // to (+)= weights^T rows, summed over the blocks of queries.
    const auto add_transposed = [&](const T* weights, const T* packed, T* to) noexcept {
      transpose<Arch, T>(weights, rows, tokens, score_stride, transposed, rows);
      multiply(transposed, rows, tokens, packed, head_dim, rows, to, stride, row > 0);
    };
    pack_panels_transposed<Arch, T>(q + row * stride, head_dim, rows, stride, query_rows);
    pack_panels_transposed<Arch, T>(g + row * g_stride, head_dim, rows, g_stride, g_rows);
    multiply(q + row * stride, stride, rows, keys, tokens, head_dim, p, score_stride, false);
    softmax<Arch, T>(p, rows, tokens, score_stride, scale);
    add_transposed(p, g_rows, dv);
    multiply(g + row * g_stride, g_stride, rows, values, tokens, head_dim, dp, score_stride, false);
    softmax_backward<Arch, T>(p, rows, tokens, score_stride, scale, dp);
    multiply(dp, score_stride, rows, key_rows, head_dim, tokens, dq + row * stride, stride, false);
    add_transposed(dp, query_rows, dk);
  }
}

}  // namespace vbp::kernels::detail
