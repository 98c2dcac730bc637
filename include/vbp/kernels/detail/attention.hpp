#pragma once

#include <cstdint>

#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/softmax.hpp"

namespace vbp::simd {

/// The operands of attention for a batch. A row of qkv [images * tokens, 3 * heads * head_dim] holds q of all
/// heads, then k, then v; the rows are contiguous. out is [images * tokens, heads * head_dim] with row stride
/// `out_stride`.
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

/// The operands of attention within the windows of maps. `attention.images` is the number of windows, one map
/// after the other, and `attention.tokens` is the number of tokens in a window. The table `rows` says which
/// rows of qkv and out belong to a window.
template <class T>
struct WindowOperands {
  AttentionOperands<T> attention;
  std::ptrdiff_t windows = 1;          ///< windows in a map
  std::ptrdiff_t map_rows = 0;         ///< rows of qkv and out for each map
  const std::int32_t* rows = nullptr;  ///< [windows, tokens]: each token's row in its map; -1: padding
  const T* padding = nullptr;          ///< [3 * heads * head_dim]: the row of qkv of every padding token
  const T* bias = nullptr;             ///< [kinds, heads, tokens, bias_stride], added to q k^T before scaling
  std::ptrdiff_t bias_stride = 0;      ///< at least `tokens`, a whole number of vectors
  const std::int32_t* kinds = nullptr;  ///< [windows]: the kind of each window, which selects its bias
};

template <class Arch, class T>
std::ptrdiff_t round_to_panel(std::ptrdiff_t columns) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  return (columns + width - 1) / width * width;
}

/// Number of queries in a block. A block consists of as many register tiles as keep their scores within 16
/// KiB (half of the smallest first-level cache), but of at least one. With few tokens, one block holds all
/// queries.
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

/// Number of scratch elements of one task: packed keys and values, the scores of a block, their sums, and the
/// scratch of the two matrix products.
template <class Arch, class T>
std::ptrdiff_t attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  const std::ptrdiff_t rows = attention_rows<Arch, T>(tokens);
  return round_to_panel<Arch, T>(tokens) * (head_dim + rows) + round_to_panel<Arch, T>(head_dim) * tokens +
         round_to_panel<Arch, T>(rows) +
         std::max(gemm_scratch_elements<Arch, T>(rows, tokens),
                  gemm_scratch_elements<Arch, T>(rows, head_dim));
}

/// One head of an image or a window. The keys are `part` elements behind the queries, and the values are 2 *
/// `part` elements behind them.
template <class T>
struct AttentionHead {
  const T* q;
  std::ptrdiff_t part;
  std::ptrdiff_t stride;
  const T* bias;  ///< [tokens, tokens], or null for no bias
  std::ptrdiff_t bias_stride;
};

/// The scratch memory of a task, divided into its parts.
template <class Arch, class T>
struct AttentionScratch {
  T* keys;
  T* values;
  T* scores;
  T* factors;  ///< the caller still has to multiply each row of a block's result by its factor
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

/// Attention of queries [first, first + rows) of a packed head. Writes softmax(scale (q k^T + bias)) v to out
/// [rows, head_dim], but without dividing by the sums of the softmax. Writes the inverse of each row's sum to
/// scratch.factors.
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
  // The mask gives weight zero to the keys that only pad the last vector.
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
  // Each of the three loops handles several rows. A reduction over lanes is a chain of dependent
  // instructions, and the CPU can overlap the chains of different rows.
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

/// to = from * factor; `to` and `from` may be the same memory.
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

/// Computes blocks [begin, end) of queries, which are numbered by image, head and block: out = softmax(scale
/// q k^T) v. Each task packs the keys and values of every head whose blocks it computes.
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
    // Divides the result by the sums instead of the weights, because the result has fewer columns.
    attend(head, first, rows, tokens, head_dim, operands.scale, scratch, out, operands.out_stride);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const at = out + row * operands.out_stride;
      scale_row<Arch, T>(at, head_dim, scratch.factors[row], at);
    }
  }
}

/// Gathers rows of a map. For each token, copies `parts` slices of `size` values, which are `dim` apart, from
/// row places[token] of the map to one row of `to` [tokens, parts * padded]. A negative place stands for the
/// row `padding`, or for zeros if `padding` is null.
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

/// Number of scratch elements of one task on windows. In addition to the scratch of attention, it holds the
/// queries, keys and values of a head side by side, and one block of the result.
template <class Arch, class T>
std::ptrdiff_t window_attention_scratch_elements(std::ptrdiff_t tokens, std::ptrdiff_t head_dim) noexcept {
  const std::ptrdiff_t padded = round_to_panel<Arch, T>(head_dim);
  return tokens * 3 * padded + attention_rows<Arch, T>(tokens) * padded +
         attention_scratch_elements<Arch, T>(tokens, head_dim);
}

/// Like attention_task, within windows. The tokens of a window are gathered from the map when a head is
/// packed, and each row of the result is written to its place in the map; rows of padding tokens are dropped.
/// So dividing the map into windows and merging them needs no extra pass over memory.
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
