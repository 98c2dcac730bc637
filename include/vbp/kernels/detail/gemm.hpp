#pragma once
/// C = A W^T with W packed beforehand: the blocking of Goto and van de Geijn (2008), written so that one
/// task (a block of rows times a range of panels) is one function call without any shared state.

#include <algorithm>
#include <cstring>
#include <utility>

#include "vbp/kernels/detail/math.hpp"
#include "vbp/kernels/detail/simd.hpp"

namespace vbp::kernels::detail {

/// What happens to a tile of A W^T before it is stored.
enum class EpilogueKind { bias, bias_gelu, bias_gelu_tanh, scaled_residual };

/// The operands of an epilogue. All pointers may be null (no bias, scale one, no residual).
template <class T>
struct EpilogueOperands {
  EpilogueKind kind = EpilogueKind::bias;
  const T* bias = nullptr;      ///< [columns]
  const T* scale = nullptr;     ///< [columns], scaled_residual only
  const T* residual = nullptr;  ///< like C, scaled_residual only; may be C itself
  std::ptrdiff_t residual_stride = 0;
};

/// Register tile and blocking.
template <class Arch, class T>
struct GemmShape {
  static constexpr std::ptrdiff_t lanes = Batch<Arch, T>::size;
  /// Two registers wide: each broadcast of A feeds two multiply-adds.
  static constexpr std::ptrdiff_t columns = 2 * lanes;
  /// With 32 registers 14 x 2 accumulators, with 16 registers 6 x 2; the rest holds a row of W and the
  /// broadcasts.
#if defined(__aarch64__)
  static constexpr std::ptrdiff_t rows = 14;
#else
  static constexpr std::ptrdiff_t rows = kRegisterBytes<Arch, T> == 64 ? 14 : 6;
#endif
  /// A panel's slice of W (depth x columns) takes 24 KiB, so that it stays in a first-level cache of 32 KiB.
  static constexpr std::ptrdiff_t depth = 24 * 1024 / (columns * static_cast<std::ptrdiff_t>(sizeof(T)));
  /// Rows of packed A lie this far apart: a constant, so that all are addressed from one pointer, and no
  /// multiple of a large power of two, so that they do not compete for the same cache sets.
  static constexpr std::ptrdiff_t stride = depth + 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  /// Bytes of packed A that a task keeps in the second-level cache.
  static constexpr std::ptrdiff_t block_bytes = 384 * 1024;
};

template <std::ptrdiff_t... I, class Function>
inline void unrolled(std::integer_sequence<std::ptrdiff_t, I...>, Function&& function) noexcept {
  (function(std::integral_constant<std::ptrdiff_t, I>{}), ...);
}

template <std::ptrdiff_t N, class Function>
inline void unrolled(Function&& function) noexcept {
  unrolled(std::make_integer_sequence<std::ptrdiff_t, N>{}, function);
}

/// sums[Rows x columns] (+)= a[Rows x depth] w[depth x columns].
template <class Arch, class T, std::ptrdiff_t Rows>
void multiply_tile(const T* a, const T* w, std::ptrdiff_t depth, T* sums, bool accumulate) noexcept {
  using Shape = GemmShape<Arch, T>;
  using B = Batch<Arch, T>;
  B sum[Rows][2];
  if (accumulate) {
    unrolled<Rows>([&](auto i) {
      sum[i][0] = B::load_aligned(sums + i * Shape::columns);
      sum[i][1] = B::load_aligned(sums + i * Shape::columns + Shape::lanes);
    });
  } else {
    unrolled<Rows>([&](auto i) { sum[i][0] = sum[i][1] = B(T(0)); });
  }
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const B left = B::load_aligned(w + k * Shape::columns);
    const B right = B::load_aligned(w + k * Shape::columns + Shape::lanes);
    unrolled<Rows>([&](auto i) {
      const B factor(a[i * Shape::stride + k]);
      sum[i][0] = multiply_add<Arch, T>(factor, left, sum[i][0]);
      sum[i][1] = multiply_add<Arch, T>(factor, right, sum[i][1]);
    });
  }
  unrolled<Rows>([&](auto i) {
    sum[i][0].store_aligned(sums + i * Shape::columns);
    sum[i][1].store_aligned(sums + i * Shape::columns + Shape::lanes);
  });
}

/// The instantiation of multiply_tile for 1 ... Shape::rows rows.
template <class Arch, class T>
using TileFunction = void (*)(const T*, const T*, std::ptrdiff_t, T*, bool) noexcept;

template <class Arch, class T, std::ptrdiff_t... I>
inline TileFunction<Arch, T> tile_function(std::ptrdiff_t rows,
                                           std::integer_sequence<std::ptrdiff_t, I...>) noexcept {
  static constexpr TileFunction<Arch, T> table[] = {&multiply_tile<Arch, T, I + 1>...};
  return table[rows - 1];
}

/// One vector of sums through the epilogue.
template <class Arch, class T, EpilogueKind Kind>
inline Batch<Arch, T> finish(Batch<Arch, T> value, const Batch<Arch, T>& bias, const Batch<Arch, T>& scale,
                             const Batch<Arch, T>& residual) noexcept {
  value += bias;
  if constexpr (Kind == EpilogueKind::bias_gelu) return gelu<Arch, T>(value);
  if constexpr (Kind == EpilogueKind::bias_gelu_tanh) return gelu_tanh<Arch, T>(value);
  if constexpr (Kind == EpilogueKind::scaled_residual) return multiply_add<Arch, T>(value, scale, residual);
  return value;
}

/// Stores rows x columns sums of a tile to C through the epilogue. `columns` may be less than the panel's.
template <class Arch, class T, EpilogueKind Kind>
void store_tile(const T* sums, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t first_row,
                std::ptrdiff_t first_column, const EpilogueOperands<T>& operands, T* c,
                std::ptrdiff_t c_stride) noexcept {
  using Shape = GemmShape<Arch, T>;
  using B = Batch<Arch, T>;
  constexpr std::ptrdiff_t lanes = Shape::lanes;
  for (std::ptrdiff_t j = 0; j < columns; j += lanes) {
    const std::ptrdiff_t present = std::min(lanes, columns - j);
    const auto load = [&](const T* from, T otherwise) noexcept -> B {
      if (from == nullptr) return B(otherwise);
      if (present == lanes) return B::load_unaligned(from);
      alignas(64) T padded[static_cast<std::size_t>(lanes)] = {};
      for (std::ptrdiff_t lane = 0; lane < present; ++lane) padded[lane] = from[lane];
      return B::load_aligned(padded);
    };
    const std::ptrdiff_t column = first_column + j;
    const B bias = load(operands.bias != nullptr ? operands.bias + column : nullptr, T(0));
    const B scale = load(operands.scale != nullptr ? operands.scale + column : nullptr, T(1));
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      B residual(T(0));
      if constexpr (Kind == EpilogueKind::scaled_residual) {
        if (operands.residual != nullptr) {
          residual = load(operands.residual + (first_row + i) * operands.residual_stride + column, T(0));
        }
      }
      const B value =
          finish<Arch, T, Kind>(B::load_aligned(sums + i * Shape::columns + j), bias, scale, residual);
      T* const to = c + (first_row + i) * c_stride + column;
      if (present == lanes) {
        value.store_unaligned(to);
      } else {
        alignas(64) T lane_values[static_cast<std::size_t>(lanes)];
        value.store_aligned(lane_values);
        for (std::ptrdiff_t lane = 0; lane < present; ++lane) to[lane] = lane_values[lane];
      }
    }
  }
}

template <class Arch, class T>
inline void store_tile(const T* sums, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t first_row,
                       std::ptrdiff_t first_column, const EpilogueOperands<T>& operands, T* c,
                       std::ptrdiff_t c_stride) noexcept {
  const auto store = [&]<EpilogueKind Kind>() {
    store_tile<Arch, T, Kind>(sums, rows, columns, first_row, first_column, operands, c, c_stride);
  };
  switch (operands.kind) {
    case EpilogueKind::bias:
      return store.template operator()<EpilogueKind::bias>();
    case EpilogueKind::bias_gelu:
      return store.template operator()<EpilogueKind::bias_gelu>();
    case EpilogueKind::bias_gelu_tanh:
      return store.template operator()<EpilogueKind::bias_gelu_tanh>();
    case EpilogueKind::scaled_residual:
      return store.template operator()<EpilogueKind::scaled_residual>();
  }
}

/// The slices that a depth is cut into, as even as can be.
template <class Arch, class T>
struct Slices {
  std::ptrdiff_t depth;
  std::ptrdiff_t count;

  explicit Slices(std::ptrdiff_t all) noexcept
      : depth(all), count((all + GemmShape<Arch, T>::depth - 1) / GemmShape<Arch, T>::depth) {}
  std::ptrdiff_t begin(std::ptrdiff_t slice) const noexcept { return slice * depth / count; }
  std::ptrdiff_t size(std::ptrdiff_t slice) const noexcept { return begin(slice + 1) - begin(slice); }
};

/// Packs W [columns, depth] (rows `w_stride` apart) into panels: panel p holds W[p * n ..., k] for k = 0, 1,
/// ... one row of n = Shape::columns values after the other, missing columns as zeros.
template <class Arch, class T>
void pack_panels(const T* w, std::ptrdiff_t columns, std::ptrdiff_t depth, std::ptrdiff_t w_stride,
                 T* packed) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  for (std::ptrdiff_t first = 0; first < columns; first += width) {
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      for (std::ptrdiff_t j = 0; j < width; ++j) {
        packed[k * width + j] = first + j < columns ? w[(first + j) * w_stride + k] : T(0);
      }
    }
    packed += depth * width;
  }
}

/// The same for a W that is given as its transpose [depth, columns], rows `w_stride` apart.
template <class Arch, class T>
void pack_panels_transposed(const T* w, std::ptrdiff_t columns, std::ptrdiff_t depth, std::ptrdiff_t w_stride,
                            T* packed) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  for (std::ptrdiff_t first = 0; first < columns; first += width) {
    const std::ptrdiff_t present = std::min(width, columns - first);
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      T* const row = packed + k * width;
      std::memcpy(row, w + k * w_stride + first, static_cast<std::size_t>(present) * sizeof(T));
      for (std::ptrdiff_t j = present; j < width; ++j) row[j] = T(0);
    }
    packed += depth * width;
  }
}

/// Rows of A that one task takes: as many as fit the second-level cache, a multiple of the register tile.
template <class Arch, class T>
std::ptrdiff_t block_rows(std::ptrdiff_t depth) noexcept {
  using Shape = GemmShape<Arch, T>;
  const std::ptrdiff_t row_bytes =
      Slices<Arch, T>(depth).count * Shape::stride * static_cast<std::ptrdiff_t>(sizeof(T));
  return std::max<std::ptrdiff_t>(1, Shape::block_bytes / row_bytes / Shape::rows) * Shape::rows;
}

/// Elements of scratch that a task on `rows` rows needs: packed A, and the sums of one panel.
template <class Arch, class T>
std::ptrdiff_t scratch_elements(std::ptrdiff_t rows, std::ptrdiff_t depth) noexcept {
  using Shape = GemmShape<Arch, T>;
  return rows * (Slices<Arch, T>(depth).count * Shape::stride + Shape::columns);
}

/// One task: `rows` rows of A times panels [panel_begin, panel_end) of packed W. C and the residual are
/// addressed from the task's first row on. Scratch (scratch_elements of it) is 64-byte aligned and private to
/// the task.
template <class Arch, class T>
void gemm_task(const T* a, std::ptrdiff_t a_stride, std::ptrdiff_t rows, const T* packed,
               std::ptrdiff_t columns, std::ptrdiff_t depth, std::ptrdiff_t panel_begin,
               std::ptrdiff_t panel_end, const EpilogueOperands<T>& operands, T* c, std::ptrdiff_t c_stride,
               T* scratch) noexcept {
  using Shape = GemmShape<Arch, T>;
  T* const sums = scratch;
  T* const packed_a = scratch + rows * Shape::columns;
  const Slices<Arch, T> slices(depth);
  for (std::ptrdiff_t slice = 0; slice < slices.count; ++slice) {
    const T* const from = a + slices.begin(slice);
    const std::size_t bytes = static_cast<std::size_t>(slices.size(slice)) * sizeof(T);
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      std::memcpy(packed_a + (slice * rows + i) * Shape::stride, from + i * a_stride, bytes);
    }
  }
  // Rows are dealt evenly, so that no tile is a sliver that waits for its own latency.
  const std::ptrdiff_t tiles = (rows + Shape::rows - 1) / Shape::rows;
  for (std::ptrdiff_t panel = panel_begin; panel < panel_end; ++panel) {
    const std::ptrdiff_t first_column = panel * Shape::columns;
    const std::ptrdiff_t present = std::min(Shape::columns, columns - first_column);
    for (std::ptrdiff_t slice = 0; slice < slices.count; ++slice) {
      const T* const w = packed + (panel * depth + slices.begin(slice)) * Shape::columns;
      for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
        const std::ptrdiff_t first = tile * rows / tiles;
        const std::ptrdiff_t tile_rows = (tile + 1) * rows / tiles - first;
        const auto multiply =
            tile_function<Arch, T>(tile_rows, std::make_integer_sequence<std::ptrdiff_t, Shape::rows>{});
        T* const tile_sums = sums + first * Shape::columns;
        multiply(packed_a + (slice * rows + first) * Shape::stride, w, slices.size(slice), tile_sums,
                 slice > 0);
        if (slice == slices.count - 1) {
          store_tile<Arch, T>(tile_sums, tile_rows, present, first, first_column, operands, c, c_stride);
        }
      }
    }
  }
}

}  // namespace vbp::kernels::detail
