#pragma once

#include <cstddef>
#include <cstdint>

#include "vbp/kernels/detail/attention.hpp"
#include "vbp/kernels/detail/transpose.hpp"

namespace vbp::simd {

/// Number of queries in a block. The scores of a block are in the cache at the same time.
template <class Arch, class T>
inline constexpr std::ptrdiff_t kBackwardRows = 4 * GemmShape<Arch, T>::rows;

/// Number of scratch elements that attention_head_backward needs.
template <class Arch, class T>
std::ptrdiff_t attention_backward_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  constexpr std::ptrdiff_t rows = kBackwardRows<Arch, T>;
  const std::ptrdiff_t token_panels = round_to_panel<Arch, T>(tokens);
  const std::ptrdiff_t dim_panels = round_to_panel<Arch, T>(head_dim);
  // The memory holds, in this order: keys and values packed for the scores; keys packed as rows; queries and
  // gradient of one block, packed as rows; the block's weights and their gradient; one of these two,
  // transposed.
  const std::ptrdiff_t products =
      std::max({gemm_scratch_elements<Arch, T>(rows, head_dim), gemm_scratch_elements<Arch, T>(rows, tokens),
                gemm_scratch_elements<Arch, T>(tokens, rows)});
  return 2 * token_panels * head_dim + dim_panels * tokens + 2 * dim_panels * rows + 2 * rows * token_panels +
         (tokens * rows + 15) / 16 * 16 + products;
}

/// Turns the gradient with respect to the softmax p into the gradient with respect to the scores, in place:
/// each row becomes p (row - sum(p row)) scale.
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

/// The backward pass of one head of an image or a window. With out = p v, p = softmax(scale (q k^T + bias))
/// and g, the gradient of a loss with respect to out: dv = p^T g, dp = g v^T, ds = scale p (dp - rowsum(p
/// dp)), dq = ds k, dk = ds^T q. p is recomputed for one block of queries at a time. dq, dk and dv are laid
/// out as q, k and v; g has row stride `g_stride`. ds is also the gradient with respect to the bias. Unless
/// bias_gradient is null, ds is added to it, in the layout of the bias.
template <class Arch, class T>
void attention_head_backward(const AttentionHead<T>& head, std::ptrdiff_t tokens, std::ptrdiff_t head_dim,
                             T scale, const T* g, std::ptrdiff_t g_stride, T* dq, T* bias_gradient,
                             T* scratch) noexcept {
  const T *const q = head.q, *const k = q + head.part, *const v = k + head.part;
  T *const dk = dq + head.part, *const dv = dk + head.part;
  const std::ptrdiff_t stride = head.stride;
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
    // Sets `to` [a_rows, columns] to a packed^T + add. A null `add` means 0.
    const auto multiply = [&](const T* a, std::ptrdiff_t a_stride, std::ptrdiff_t a_rows, const T* packed,
                              std::ptrdiff_t columns, std::ptrdiff_t depth, T* to, std::ptrdiff_t to_stride,
                              const T* add, std::ptrdiff_t add_stride) noexcept {
      GemmOperands<T> product{.a = a,
                              .a_stride = a_stride,
                              .rows = a_rows,
                              .packed = packed,
                              .columns = columns,
                              .depth = depth,
                              .epilogue = {},
                              .c = to,
                              .c_stride = to_stride};
      if (add != nullptr) {
        product.epilogue = {EpilogueKind::scaled_residual, nullptr, nullptr, add, add_stride};
      }
      gemm_whole<Arch, T>(product, rest);
    };
    // Adds weights^T times the packed rows to `to`. The first block of queries overwrites `to` instead.
    const auto add_transposed = [&](const T* weights, const T* packed, T* to) noexcept {
      transpose<Arch, T>(weights, rows, tokens, score_stride, transposed, rows);
      multiply(transposed, rows, tokens, packed, head_dim, rows, to, stride, row > 0 ? to : nullptr, stride);
    };
    pack_panels_transposed<Arch, T>(q + row * stride, head_dim, rows, stride, query_rows);
    pack_panels_transposed<Arch, T>(g + row * g_stride, head_dim, rows, g_stride, g_rows);
    multiply(q + row * stride, stride, rows, keys, tokens, head_dim, p, score_stride,
             head.bias == nullptr ? nullptr : head.bias + row * head.bias_stride, head.bias_stride);
    softmax<Arch, T>(p, rows, tokens, score_stride, scale);
    add_transposed(p, g_rows, dv);
    multiply(g + row * g_stride, g_stride, rows, values, tokens, head_dim, dp, score_stride, nullptr, 0);
    softmax_backward<Arch, T>(p, rows, tokens, score_stride, scale, dp);
    for (std::ptrdiff_t i = 0; i < rows && bias_gradient != nullptr; ++i) {
      T* const sums = bias_gradient + (row + i) * head.bias_stride;
      for (std::ptrdiff_t j = 0; j < tokens; ++j) sums[j] += dp[i * score_stride + j];
    }
    multiply(dp, score_stride, rows, key_rows, head_dim, tokens, dq + row * stride, stride, nullptr, 0);
    add_transposed(dp, query_rows, dk);
  }
}

/// Number of scratch elements of one task on windows. In addition to the scratch of one head, it holds the
/// queries, keys and values of a head side by side, their gradients, and the gradient with respect to the
/// result.
template <class Arch, class T>
std::ptrdiff_t window_attention_backward_scratch_elements(std::ptrdiff_t tokens,
                                                          std::ptrdiff_t head_dim) noexcept {
  return 7 * tokens * round_to_panel<Arch, T>(head_dim) +
         attention_backward_scratch_elements<Arch, T>(tokens, head_dim);
}

/// The backward pass of one head in all windows of `maps` maps. `windows` points to the first map. `gradient`
/// is the gradient with respect to the result, in the layout of the result with contiguous rows. Sets the
/// head's columns of qkv_gradient. Sets the head's columns of padding_gradient [3 * heads * head_dim] and
/// bias_gradient [tokens, bias_stride] to sums over all windows. bias_gradient is divided by `scale`, because
/// the biases were divided by it in PackedWindows.
template <class Arch, class T>
void window_attention_backward_task(const WindowOperands<T>& windows, std::ptrdiff_t head_index,
                                    std::ptrdiff_t maps, const T* gradient, T* qkv_gradient,
                                    T* padding_gradient, T* bias_gradient, T* memory) noexcept {
  const AttentionOperands<T>& attention = windows.attention;
  const std::ptrdiff_t tokens = attention.tokens;
  const std::ptrdiff_t head_dim = attention.head_dim;
  const std::ptrdiff_t dim = attention.heads * head_dim;
  const std::ptrdiff_t padded = round_to_panel<Arch, T>(head_dim);
  const std::ptrdiff_t column = head_index * head_dim;
  T* const gathered = memory;
  T* const d_gathered = gathered + 3 * tokens * padded;
  T* const g = d_gathered + 3 * tokens * padded;
  T* const rest = g + tokens * padded;
  for (std::ptrdiff_t part = 0; part < 3; ++part) {
    for (std::ptrdiff_t j = 0; j < head_dim; ++j) padding_gradient[part * dim + column + j] = T(0);
  }
  for (std::ptrdiff_t i = 0; i < tokens * windows.bias_stride; ++i) bias_gradient[i] = T(0);
  for (std::ptrdiff_t i = 0; i < maps * windows.windows; ++i) {
    const std::ptrdiff_t first_row = i / windows.windows * windows.map_rows;
    const std::ptrdiff_t window = i % windows.windows;
    const std::int32_t* const places = windows.rows + window * tokens;
    gather_slices<Arch, T>(attention.qkv + first_row * 3 * dim + column, windows.padding + column, places,
                           tokens, 3, dim, head_dim, padded, gathered);
    // The forward pass drops the results of padding tokens, so their gradient is zero.
    gather_slices<Arch, T>(gradient + first_row * dim + column, nullptr, places, tokens, 1, dim, head_dim,
                           padded, g);
    const AttentionHead<T> head = {
        .q = gathered,
        .part = padded,
        .stride = 3 * padded,
        .bias = windows.bias +
                (windows.kinds[window] * attention.heads + head_index) * tokens * windows.bias_stride,
        .bias_stride = windows.bias_stride};
    attention_head_backward<Arch, T>(head, tokens, head_dim, attention.scale, g, padded, d_gathered,
                                     bias_gradient, rest);
    for (std::ptrdiff_t token = 0; token < tokens; ++token) {
      for (std::ptrdiff_t part = 0; part < 3; ++part) {
        const T* const from = d_gathered + (token * 3 + part) * padded;
        if (places[token] < 0) {
          T* const to = padding_gradient + part * dim + column;
          for (std::ptrdiff_t j = 0; j < head_dim; ++j) to[j] += from[j];
        } else {
          T* const to = qkv_gradient + (first_row + places[token]) * 3 * dim + part * dim + column;
          for (std::ptrdiff_t j = 0; j < head_dim; ++j) to[j] = from[j];
        }
      }
    }
  }
  for (std::ptrdiff_t i = 0; i < tokens * windows.bias_stride; ++i) bias_gradient[i] /= attention.scale;
}

// Entries: see kernels/entry.hpp.

struct AttentionBackwardScratchElements {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&attention_backward_scratch_elements<Arch, T>) {
    return &attention_backward_scratch_elements<Arch, T>;
  }
};

struct AttentionHeadBackward {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&attention_head_backward<Arch, T>) {
    return &attention_head_backward<Arch, T>;
  }
};

struct WindowAttentionBackwardScratchElements {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&window_attention_backward_scratch_elements<Arch, T>) {
    return &window_attention_backward_scratch_elements<Arch, T>;
  }
};

struct WindowAttentionBackwardTask {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&window_attention_backward_task<Arch, T>) {
    return &window_attention_backward_task<Arch, T>;
  }
};

}  // namespace vbp::simd
