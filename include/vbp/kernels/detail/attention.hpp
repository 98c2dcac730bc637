#pragma once

#include <cstdint>

#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/softmax.hpp"

namespace vbp::simd {

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

/// Attention within the windows of maps: `images` counts windows, those of one map after the other, `tokens`
/// are a window's. Rows of qkv and out are where `rows` says.
template <class T>
struct WindowOperands {
  AttentionOperands<T> attention;
  std::ptrdiff_t windows = 1;          ///< of a map
  std::ptrdiff_t map_rows = 0;         ///< rows of qkv and out that a map has
  const std::int32_t* rows = nullptr;  ///< [windows, tokens]: the token's row of the map; -1 for `padding`
  const T* padding = nullptr;          ///< the row of qkv, [3 * heads * head_dim], of a token that has none
  const T* bias = nullptr;             ///< [kinds, heads, tokens, bias_stride], added to q k^T before scaling
  std::ptrdiff_t bias_stride = 0;      ///< at least `tokens` in whole vectors
  const std::int32_t* kinds = nullptr;  ///< [windows]: which bias is a window's
};

template <class Arch, class T>
std::ptrdiff_t round_to_panel(std::ptrdiff_t columns) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  return (columns + width - 1) / width * width;
}

/// Queries that are worked on together: as many register tiles as have scores in a half of the smallest
/// first-level cache, so that few tokens make one product of them all.
template <class Arch, class T>
std::ptrdiff_t attention_rows(std::ptrdiff_t tokens) noexcept {
  constexpr std::ptrdiff_t rows = GemmShape<Arch, T>::rows;
  constexpr auto scores = static_cast<std::ptrdiff_t>(16 * 1024 / sizeof(T));
  return rows * std::max<std::ptrdiff_t>(1, scores / (rows * round_to_panel<Arch, T>(tokens)));
}

template <class Arch, class T>
std::ptrdiff_t attention_blocks(std::ptrdiff_t tokens) noexcept {
  const std::ptrdiff_t rows = attention_rows<Arch, T>(tokens);
  return (tokens + rows - 1) / rows;
}

/// Elements of scratch of one task: packed keys and values, the scores of a block and their sums, and what
/// the two products need.
template <class Arch, class T>
std::ptrdiff_t attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  const std::ptrdiff_t rows = attention_rows<Arch, T>(tokens);
  return round_to_panel<Arch, T>(tokens) * (head_dim + rows) + round_to_panel<Arch, T>(head_dim) * tokens +
         round_to_panel<Arch, T>(rows) +
         std::max(gemm_scratch_elements<Arch, T>(rows, tokens),
                  gemm_scratch_elements<Arch, T>(rows, head_dim));
}

/// A head of one image, or of one window: its queries, and keys and values `part` and 2 `part` behind them.
template <class T>
struct AttentionHead {
  const T* q;
  std::ptrdiff_t part;
  std::ptrdiff_t stride;
  const T* bias;  ///< [tokens, tokens], null: none
  std::ptrdiff_t bias_stride;
};

/// The memory of a task, divided.
template <class Arch, class T>
struct AttentionScratch {
  T* keys;
  T* values;
  T* scores;
  T* factors;  ///< what each row of a block's weighted sums is still to be multiplied with
  T* rest;
  std::ptrdiff_t score_stride;

  AttentionScratch(std::ptrdiff_t tokens, std::ptrdiff_t head_dim, T* scratch) noexcept
      : keys(scratch),
        values(keys + round_to_panel<Arch, T>(tokens) * head_dim),
        scores(values + round_to_panel<Arch, T>(head_dim) * tokens),
        factors(scores + round_to_panel<Arch, T>(tokens) * attention_rows<Arch, T>(tokens)),
        rest(factors + round_to_panel<Arch, T>(attention_rows<Arch, T>(tokens))),
        score_stride(round_to_panel<Arch, T>(tokens)) {}
};

template <class Arch, class T>
void pack_head(const AttentionHead<T>& head, std::ptrdiff_t tokens, std::ptrdiff_t head_dim,
               const AttentionScratch<Arch, T>& scratch) noexcept {
  pack_panels<Arch, T>(head.q + head.part, tokens, head_dim, head.stride, scratch.keys);
  pack_panels_transposed<Arch, T>(head.q + 2 * head.part, head_dim, tokens, head.stride, scratch.values);
}

/// Queries [first, first + rows) of a packed head: out = softmax(scale (q k^T + bias)) v, as weighted sums of
/// the values, [rows, head_dim], which the factors divide.
template <class Arch, class T>
[[gnu::always_inline]] inline void attend(const AttentionHead<T>& head, std::ptrdiff_t first,
                                          std::ptrdiff_t rows, std::ptrdiff_t tokens, std::ptrdiff_t head_dim,
                                          T scale, const AttentionScratch<Arch, T>& scratch, T* out,
                                          std::ptrdiff_t out_stride) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t padded = (tokens + lanes - 1) / lanes * lanes;
  const std::ptrdiff_t whole = padded - lanes;
  const std::ptrdiff_t score_stride = scratch.score_stride;
  // Keys that fill the last vector up get no weight.
  alignas(64) T mask[B::size];
  for (std::ptrdiff_t j = 0; j < lanes; ++j) {
    mask[j] = whole + j < tokens ? T(0) : -std::numeric_limits<T>::infinity();
  }
  const B absent = B::load_aligned(mask);
  gemm_whole<Arch, T>(
      {.a = head.q + first * head.stride,
       .a_stride = head.stride,
       .rows = rows,
       .packed = scratch.keys,
       .columns = padded,
       .depth = head_dim,
       .epilogue = {.kind = EpilogueKind::scaled_residual,
                    .residual = head.bias == nullptr ? nullptr : head.bias + first * head.bias_stride,
                    .residual_stride = head.bias_stride},
       .c = scratch.scores,
       .c_stride = score_stride},
      scratch.rest);
  // Step by step over some rows: a reduction over lanes waits for itself, but not for the next row's.
  constexpr std::ptrdiff_t together = GemmShape<Arch, T>::rows;
  for (std::ptrdiff_t begin = 0; begin < rows; begin += together) {
    const std::ptrdiff_t end = std::min(begin + together, rows);
    T* const factors = scratch.factors;
    B sums[together];
    for (std::ptrdiff_t row = begin; row < end; ++row) {
      T* const weights = scratch.scores + row * score_stride;
      (B::load_aligned(weights + whole) + absent).store_aligned(weights + whole);
      factors[row] = largest<Arch, T>(weights, whole, weights + whole);
    }
    for (std::ptrdiff_t row = begin; row < end; ++row) {
      T* const weights = scratch.scores + row * score_stride;
      sums[row - begin] = exponentials<Arch, T>(weights, whole, weights + whole, factors[row], scale);
    }
    for (std::ptrdiff_t row = begin; row < end; ++row) {
      factors[row] = T(1) / sum_lanes<Arch, T>(sums[row - begin]);
    }
  }
  gemm_whole<Arch, T>({.a = scratch.scores,
                       .a_stride = score_stride,
                       .rows = rows,
                       .packed = scratch.values,
                       .columns = head_dim,
                       .depth = tokens,
                       .epilogue = {},
                       .c = out,
                       .c_stride = out_stride},
                      scratch.rest);
}

/// to = from * factor; may be the same memory.
template <class Arch, class T>
inline void scale_row(const T* from, std::ptrdiff_t size, T factor, T* to) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  const std::ptrdiff_t vectors = size / lanes * lanes;
  for (std::ptrdiff_t j = 0; j < vectors; j += lanes) {
    (B::load_unaligned(from + j) * B(factor)).store_unaligned(to + j);
  }
  for (std::ptrdiff_t j = vectors; j < size; ++j) to[j] = from[j] * factor;
}

/// Blocks [begin, end) of queries, numbered by image, head, block: out = softmax(scale q k^T) v. A head's
/// keys and values are packed by every task that has a block of it.
template <class Arch, class T>
void attention_task(const AttentionOperands<T>& operands, std::ptrdiff_t begin, std::ptrdiff_t end,
                    T* memory) noexcept {
  const std::ptrdiff_t tokens = operands.tokens;
  const std::ptrdiff_t head_dim = operands.head_dim;
  const std::ptrdiff_t dim = operands.heads * head_dim;
  const std::ptrdiff_t blocks = attention_blocks<Arch, T>(tokens);
  const AttentionScratch<Arch, T> scratch(tokens, head_dim, memory);
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const std::ptrdiff_t block = i % blocks;
    const std::ptrdiff_t index = i / blocks % operands.heads;
    const std::ptrdiff_t image = i / blocks / operands.heads;
    const AttentionHead<T> head = {.q = operands.qkv + image * tokens * 3 * dim + index * head_dim,
                                   .part = dim,
                                   .stride = 3 * dim,
                                   .bias = nullptr,
                                   .bias_stride = 0};
    if (i == begin || block == 0) pack_head(head, tokens, head_dim, scratch);
    const std::ptrdiff_t first = block * tokens / blocks;
    const std::ptrdiff_t rows = (block + 1) * tokens / blocks - first;
    T* const out = operands.out + (image * tokens + first) * operands.out_stride + index * head_dim;
    // The sums of the weights divide the result, which has fewer columns than the weights.
    attend(head, first, rows, tokens, head_dim, operands.scale, scratch, out, operands.out_stride);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const at = out + row * operands.out_stride;
      scale_row<Arch, T>(at, head_dim, scratch.factors[row], at);
    }
  }
}

/// to [tokens, parts * padded] = of the rows of a map that `places` names `parts` slices of `size` values,
/// `dim` apart. `padding` is the row of a place below zero, null for zeros.
template <class Arch, class T>
void gather_slices(const T* map, const T* padding, const std::int32_t* places, std::ptrdiff_t tokens,
                   std::ptrdiff_t parts, std::ptrdiff_t dim, std::ptrdiff_t size, std::ptrdiff_t padded,
                   T* to) noexcept {
  using B = Batch<Arch, T>;
  constexpr auto lanes = static_cast<std::ptrdiff_t>(B::size);
  for (std::ptrdiff_t token = 0; token < tokens; ++token) {
    const T* from = places[token] < 0 ? padding : map + places[token] * parts * dim;
    for (std::ptrdiff_t part = 0; part < parts; ++part, to += padded) {
      std::ptrdiff_t j = 0;
      if (from == nullptr) {
        for (; j < size; ++j) to[j] = T(0);
        continue;
      }
      for (; j + lanes <= size; j += lanes) B::load_unaligned(from + j).store_aligned(to + j);
      for (; j < size; ++j) to[j] = from[j];
      from += dim;
    }
  }
}

/// Elements of scratch of one task on windows: a head's queries, keys and values side by side, and a block of
/// the result, beside what attention takes anyway.
template <class Arch, class T>
std::ptrdiff_t window_attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  const std::ptrdiff_t padded = round_to_panel<Arch, T>(head_dim);
  return tokens * 3 * padded + attention_rows<Arch, T>(tokens) * padded +
         attention_scratch_elements<Arch, T>(tokens, head_dim);
}

/// The same within windows, whose tokens are gathered from the map as a head is packed; each row of the
/// result goes to its place in the map, that of a token without one nowhere. So dividing a map into windows
/// and putting it together again takes no pass over memory of its own.
template <class Arch, class T>
void window_attention_task(const WindowOperands<T>& operands, std::ptrdiff_t begin, std::ptrdiff_t end,
                           T* memory) noexcept {
  const AttentionOperands<T>& attention = operands.attention;
  const std::ptrdiff_t tokens = attention.tokens;
  const std::ptrdiff_t head_dim = attention.head_dim;
  const std::ptrdiff_t dim = attention.heads * head_dim;
  const std::ptrdiff_t blocks = attention_blocks<Arch, T>(tokens);
  const std::ptrdiff_t padded = round_to_panel<Arch, T>(head_dim);
  T* const gathered = memory;
  T* const result = gathered + tokens * 3 * padded;
  const AttentionScratch<Arch, T> scratch(tokens, head_dim,
                                          result + attention_rows<Arch, T>(tokens) * padded);
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const std::ptrdiff_t block = i % blocks;
    const std::ptrdiff_t index = i / blocks % attention.heads;
    const std::ptrdiff_t map = i / blocks / attention.heads / operands.windows;
    const std::ptrdiff_t window = i / blocks / attention.heads % operands.windows;
    const std::int32_t* const places = operands.rows + window * tokens;
    const AttentionHead<T> head = {
        .q = gathered,
        .part = padded,
        .stride = 3 * padded,
        .bias = operands.bias +
                (operands.kinds[window] * attention.heads + index) * tokens * operands.bias_stride,
        .bias_stride = operands.bias_stride};
    if (i == begin || block == 0) {
      gather_slices<Arch, T>(attention.qkv + map * operands.map_rows * 3 * dim + index * head_dim,
                             operands.padding + index * head_dim, places, tokens, 3, dim, head_dim, padded,
                             gathered);
      pack_head(head, tokens, head_dim, scratch);
    }
    const std::ptrdiff_t first = block * tokens / blocks;
    const std::ptrdiff_t rows = (block + 1) * tokens / blocks - first;
    attend(head, first, rows, tokens, head_dim, attention.scale, scratch, result, padded);
    T* const out = attention.out + map * operands.map_rows * attention.out_stride + index * head_dim;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      const std::int32_t place = places[first + row];
      if (place < 0) continue;
      scale_row<Arch, T>(result + row * padded, head_dim, scratch.factors[row],
                         out + place * attention.out_stride);
    }
  }
}

// Entries: see kernels/entry.hpp.

struct AttentionBlocks {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&attention_blocks<Arch, T>) {
    return &attention_blocks<Arch, T>;
  }
};

struct AttentionScratchElements {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&attention_scratch_elements<Arch, T>) {
    return &attention_scratch_elements<Arch, T>;
  }
};

struct AttentionTask {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&attention_task<Arch, T>) {
    return &attention_task<Arch, T>;
  }
};

struct WindowAttentionScratchElements {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&window_attention_scratch_elements<Arch, T>) {
    return &window_attention_scratch_elements<Arch, T>;
  }
};

struct WindowAttentionTask {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&window_attention_task<Arch, T>) {
    return &window_attention_task<Arch, T>;
  }
};

}  // namespace vbp::simd
