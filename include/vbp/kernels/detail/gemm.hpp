#pragma once
/// C = A W^T with W packed beforehand. It uses the register tile of Goto and van de Geijn (2008), but reads A
/// in place. One task, which is a run of tiles of C, is one function call without shared state.

#include <algorithm>
#include <cstring>
#include <utility>

#include "vbp/kernels/detail/math.hpp"
#include "vbp/kernels/detail/operands.hpp"
#include "vbp/kernels/detail/simd.hpp"
#include "vbp/kernels/detail/transpose.hpp"

namespace vbp::simd {

/// One product: C [rows, columns] = epilogue(A [rows, depth] W^T). W is packed in panels; a_stride and
/// c_stride are row strides.
template <class T>
struct GemmOperands {
  const T* a = nullptr;
  std::ptrdiff_t a_stride = 0;
  std::ptrdiff_t rows = 0;
  const T* packed = nullptr;
  std::ptrdiff_t columns = 0;
  std::ptrdiff_t depth = 0;
  EpilogueOperands<T> epilogue;
  T* c = nullptr;
  std::ptrdiff_t c_stride = 0;
};

/// The sizes of the register tile and of the cache blocks.
template <class Arch, class T>
struct GemmShape {
  static constexpr std::ptrdiff_t lanes = Batch<Arch, T>::size;
  /// A tile is two registers wide, so that each broadcast of A feeds two multiply-adds. Each step of the
  /// depth needs rows + 2 loads for 2 * rows multiply-adds. So on every CPU that can do as many loads per
  /// cycle as multiply-adds, the loads take fewer cycles than the arithmetic.
  static constexpr std::ptrdiff_t columns = 2 * lanes;
  /// 32 registers hold 14 x 2 accumulators, and 16 registers hold 6 x 2; the others hold a row of W and a
  /// broadcast of A. Two multiply-add units with a latency of four cycles need at least 8 accumulators.
#if defined(__aarch64__)
  static constexpr std::ptrdiff_t rows = 14;
#else
  static constexpr std::ptrdiff_t rows = kRegisterBytes<Arch, T> == 64 ? 14 : 6;
#endif
  /// The slice of a panel stays in the second-level cache. The smallest such cache has 256 KiB on CPUs with
  /// 32-byte registers and 1 MiB on CPUs with 64-byte registers. W gets half of it; the rest is for the rows
  /// of A that pass through. The slice need not fit in the first level, because each step of a tile loads
  /// only columns + rows values for 2 * rows multiply-adds.
  static constexpr std::ptrdiff_t slice_bytes = (kRegisterBytes<Arch, T> == 64 ? 512 : 128) * 1024;
  static constexpr std::ptrdiff_t depth = slice_bytes / (columns * static_cast<std::ptrdiff_t>(sizeof(T)));
  /// A block is the rows of A that are multiplied by a panel before the next panel is used. It has at most as
  /// many rows as fit in 768 KiB, so that they mostly stay in the second-level cache. This limit is at least
  /// `least_tiles` tiles, so that reading W again for each block pays off.
  static constexpr std::ptrdiff_t block_bytes = 768 * 1024;
  static constexpr std::ptrdiff_t least_tiles = 8;
};

/// The operands of one tile: pointers to their first elements, and their strides.
template <class T>
struct Tile {
  const T* a;
  std::ptrdiff_t a_stride;
  const T* w;
  std::ptrdiff_t depth;
  const T* partial;  ///< the sums so far, with row stride GemmShape::columns; null: zero
  const T* next;     ///< W that later tiles will read; each step of the depth prefetches `step` of its values
  std::ptrdiff_t step;
  const T* bias;      ///< null: no bias
  const T* scale;     ///< null: scale 1
  const T* residual;  ///< null: no residual
  std::ptrdiff_t residual_stride;
  T* c;
  std::ptrdiff_t c_stride;
};

/// Computes one tile of `Rows` rows and `Vectors` (1 or 2) vectors. The sums stay in registers until they are
/// complete, which requires every lambda to be inlined.
template <class Arch, class T, std::ptrdiff_t Rows, std::ptrdiff_t Vectors>
[[gnu::flatten]] void multiply_tile(const Tile<T>& tile) noexcept {
  using Shape = GemmShape<Arch, T>;
  using B = Batch<Arch, T>;
  constexpr std::ptrdiff_t lanes = Shape::lanes;
  B sum[Rows][Vectors];
  if (tile.partial != nullptr) {
    unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
      unrolled<Vectors>([&](auto j) __attribute__((always_inline)) {
        sum[i][j] = B::load_aligned(tile.partial + i * Shape::columns + j * lanes);
      });
    });
  } else {
    unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
      unrolled<Vectors>([&](auto j) __attribute__((always_inline)) { sum[i][j] = B(T(0)); });
    });
  }
  // Two pointers into A, because fewer multiples of the stride then need a register.
  constexpr std::ptrdiff_t half = (Shape::rows + 1) / 2;
  const std::ptrdiff_t stride = tile.a_stride;
  const T* const upper = tile.a;
  const T* const lower = tile.a + half * stride;
  const T* w = tile.w;
  const T* next = tile.next;
  const std::ptrdiff_t step = tile.step;
  const std::ptrdiff_t depth = tile.depth;
  const auto multiply_step = [&](std::ptrdiff_t k) __attribute__((always_inline)) {
    B row[Vectors];
    unrolled<Vectors>([&](auto j)
                          __attribute__((always_inline)) { row[j] = B::load_aligned(w + j * lanes); });
    prefetch(next);
    unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
      const B factor((i < half ? upper : lower)[i % half * stride + k]);
      unrolled<Vectors>([&](auto j) __attribute__((always_inline)) {
        sum[i][j] = multiply_add<Arch, T>(factor, row[j], sum[i][j]);
      });
    });
    w += Shape::columns;
    next += step;
  };
  // The first steps also prefetch the lines of C that the tile will be stored to, one row per step.
  // Prefetching them all at once would delay the loads of A and W. A store to a line that is not in the cache
  // costs the next tile up to a twentieth of its time.
  std::ptrdiff_t k = 0;
  for (const T* row = tile.c; k < std::min(depth, Rows); ++k, row += tile.c_stride) {
    prefetch(row, Vectors * lanes);
    multiply_step(k);
  }
  for (; k < depth; ++k) multiply_step(k);
  unrolled<Vectors>([&](auto j) __attribute__((always_inline)) {
    if (tile.bias != nullptr) {
      const B bias = B::load_unaligned(tile.bias + j * lanes);
      unrolled<Rows>([&](auto i) __attribute__((always_inline)) { sum[i][j] += bias; });
    }
    if (tile.scale != nullptr || tile.residual != nullptr) {
      const B scale = tile.scale != nullptr ? B::load_unaligned(tile.scale + j * lanes) : B(T(1));
      unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
        B residual(T(0));
        if (tile.residual != nullptr) {
          residual = B::load_unaligned(tile.residual + i * tile.residual_stride + j * lanes);
        }
        sum[i][j] = multiply_add<Arch, T>(sum[i][j], scale, residual);
      });
    }
    unrolled<Rows>([&](auto i) __attribute__((always_inline)) {
      sum[i][j].store_unaligned(tile.c + i * tile.c_stride + j * lanes);
    });
  });
}

template <class T>
using TileFunction = void (*)(const Tile<T>&) noexcept;

template <class Arch, class T, std::ptrdiff_t Vectors, std::ptrdiff_t... I>
inline TileFunction<T> tile_function(std::ptrdiff_t rows,
                                     std::integer_sequence<std::ptrdiff_t, I...>) noexcept {
  static constexpr TileFunction<T> table[] = {&multiply_tile<Arch, T, I + 1, Vectors>...};
  return table[rows - 1];
}

/// Returns multiply_tile for this number of rows (1 ... Shape::rows) and columns (one or two vectors).
template <class Arch, class T>
inline TileFunction<T> tile_function(std::ptrdiff_t rows, std::ptrdiff_t columns) noexcept {
  using Shape = GemmShape<Arch, T>;
  constexpr std::make_integer_sequence<std::ptrdiff_t, Shape::rows> all{};
  return columns == Shape::columns ? tile_function<Arch, T, 2>(rows, all)
                                   : tile_function<Arch, T, 1>(rows, all);
}

/// Applies GELU in place to a tile that has just been stored, if the epilogue asks for it.
template <class Arch, class T>
void apply_activation(EpilogueKind kind, T* c, std::ptrdiff_t rows, std::ptrdiff_t columns,
                      std::ptrdiff_t c_stride) noexcept {
  using B = Batch<Arch, T>;
  constexpr std::ptrdiff_t lanes = GemmShape<Arch, T>::lanes;
  const auto apply = [&](auto&& activation) {
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < columns; j += lanes) {
        T* const at = c + i * c_stride + j;
        activation(B::load_unaligned(at)).store_unaligned(at);
      }
    }
  };
  if (kind == EpilogueKind::bias_gelu) apply([](const B& x) { return gelu<Arch, T>(x); });
  if (kind == EpilogueKind::bias_gelu_tanh) apply([](const B& x) { return gelu_tanh<Arch, T>(x); });
}

/// Computes one tile of whole vectors and its epilogue.
template <class Arch, class T>
void finish_tile(const Tile<T>& tile, std::ptrdiff_t rows, std::ptrdiff_t columns,
                 EpilogueKind kind) noexcept {
  tile_function<Arch, T>(rows, columns)(tile);
  apply_activation<Arch, T>(kind, tile.c, rows, columns, tile.c_stride);
}

/// Like finish_tile, for a tile of which only the first `present` columns exist. Bias, scale, residual and
/// result are copied to memory that is as wide as the tile.
template <class Arch, class T>
void finish_narrow_tile(Tile<T> tile, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t present,
                        EpilogueKind kind) noexcept {
  using Shape = GemmShape<Arch, T>;
  alignas(64) T bias[Shape::columns] = {};
  alignas(64) T scale[Shape::columns] = {};
  alignas(64) T copy[Shape::rows * Shape::columns] = {};
  const std::size_t bytes = static_cast<std::size_t>(present) * sizeof(T);
  const auto take = [bytes](const T*& from, T* to) noexcept {
    if (from == nullptr) return;
    std::memcpy(to, from, bytes);
    from = to;
  };
  take(tile.bias, bias);
  take(tile.scale, scale);
  if (tile.residual != nullptr) {
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      std::memcpy(copy + i * Shape::columns, tile.residual + i * tile.residual_stride, bytes);
    }
    tile.residual = copy;
    tile.residual_stride = Shape::columns;
  }
  T* const c = std::exchange(tile.c, copy);
  const std::ptrdiff_t c_stride = std::exchange(tile.c_stride, Shape::columns);
  finish_tile<Arch, T>(tile, rows, columns, kind);
  for (std::ptrdiff_t i = 0; i < rows; ++i) std::memcpy(c + i * c_stride, copy + i * Shape::columns, bytes);
}

/// Divides a depth into slices of sizes as equal as possible.
template <class Arch, class T>
struct Slices {
  std::ptrdiff_t depth;
  std::ptrdiff_t count;

  explicit Slices(std::ptrdiff_t all) noexcept
      : depth(all), count((all + GemmShape<Arch, T>::depth - 1) / GemmShape<Arch, T>::depth) {}
  std::ptrdiff_t begin(std::ptrdiff_t slice) const noexcept { return slice * depth / count; }
  std::ptrdiff_t size(std::ptrdiff_t slice) const noexcept { return begin(slice + 1) - begin(slice); }
};

/// The order of the tiles of C: first by blocks of rows, then by panels within a block, then from top to
/// bottom within a panel. The rows are divided evenly among the tiles. A tile with very few rows would spend
/// its time waiting for the latency of its multiply-adds.
template <class Arch, class T>
struct Tiling {
  std::ptrdiff_t rows;
  std::ptrdiff_t panels;
  std::ptrdiff_t tiles;   ///< number of tiles from top to bottom
  std::ptrdiff_t blocks;  ///< number of blocks of tiles

  Tiling(std::ptrdiff_t all_rows, std::ptrdiff_t columns, std::ptrdiff_t depth) noexcept
      : rows(all_rows),
        panels((columns + GemmShape<Arch, T>::columns - 1) / GemmShape<Arch, T>::columns),
        tiles((all_rows + GemmShape<Arch, T>::rows - 1) / GemmShape<Arch, T>::rows),
        blocks((tiles + block_tiles(depth) - 1) / block_tiles(depth)) {}

  std::ptrdiff_t count() const noexcept { return tiles * panels; }
  std::ptrdiff_t first_row(std::ptrdiff_t tile) const noexcept {
    return tile * (rows / tiles) + std::min(tile, rows % tiles);
  }
  std::ptrdiff_t first_tile(std::ptrdiff_t block) const noexcept { return block * tiles / blocks; }

  /// The largest number of tiles in a block.
  static std::ptrdiff_t block_tiles(std::ptrdiff_t depth) noexcept {
    using Shape = GemmShape<Arch, T>;
    const std::ptrdiff_t tile_bytes = Shape::rows * depth * static_cast<std::ptrdiff_t>(sizeof(T));
    return std::max(Shape::least_tiles, Shape::block_bytes / tile_bytes);
  }
};

/// Packs W [columns, depth] with row stride `w_stride` into panels of n = Shape::columns columns. Panel p
/// holds W[p * n ..., k] for k = 0, 1, ..., as one row of n values for each k. Missing columns are zeros.
template <class Arch, class T>
void pack_panels(const T* w, std::ptrdiff_t columns, std::ptrdiff_t depth, std::ptrdiff_t w_stride,
                 T* packed) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  for (std::ptrdiff_t first = 0; first < columns; first += width) {
    const std::ptrdiff_t present = std::min(width, columns - first);
    if (present < width) std::fill_n(packed, depth * width, T(0));
    transpose<Arch, T>(w + first * w_stride, present, depth, w_stride, packed, width);
    packed += depth * width;
  }
}

/// Like pack_panels, for a W that is given as its transpose [depth, columns] with row stride `w_stride`.
template <class Arch, class T>
void pack_panels_transposed(const T* w, std::ptrdiff_t columns, std::ptrdiff_t depth, std::ptrdiff_t w_stride,
                            T* packed) noexcept {
  constexpr std::ptrdiff_t width = GemmShape<Arch, T>::columns;
  for (std::ptrdiff_t first = 0; first < columns; first += width) {
    const std::ptrdiff_t present = std::min(width, columns - first);
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      const T* const from = w + k * w_stride + first;
      T* const row = packed + k * width;
      if (present == width) {  // a copy of constant size needs no call
        std::memcpy(row, from, static_cast<std::size_t>(width) * sizeof(T));
        continue;
      }
      std::memcpy(row, from, static_cast<std::size_t>(present) * sizeof(T));
      std::fill(row + present, row + width, T(0));
    }
    packed += depth * width;
  }
}

/// Number of scratch elements that gemm_task needs: the sums of a panel between two slices. It is 0 if the
/// depth is a single slice.
template <class Arch, class T>
std::ptrdiff_t gemm_scratch_elements(std::ptrdiff_t rows, std::ptrdiff_t depth) noexcept {
  using Shape = GemmShape<Arch, T>;
  if (Slices<Arch, T>(depth).count <= 1) return 0;
  const Tiling<Arch, T> tiling(rows, Shape::columns, depth);
  return std::min(tiling.tiles, tiling.block_tiles(depth)) * Shape::rows * Shape::columns;
}

/// Computes tiles [begin, end), counted from top to bottom, of one panel.
template <class Arch, class T>
void gemm_panel(const GemmOperands<T>& product, const Tiling<Arch, T>& tiling, std::ptrdiff_t panel,
                std::ptrdiff_t begin, std::ptrdiff_t end, T* sums) noexcept {
  using Shape = GemmShape<Arch, T>;
  const Slices<Arch, T> slices(product.depth);
  const EpilogueOperands<T>& epilogue = product.epilogue;
  const std::ptrdiff_t first_column = panel * Shape::columns;
  const std::ptrdiff_t present = std::min(Shape::columns, product.columns - first_column);
  const std::ptrdiff_t columns = present > Shape::lanes ? Shape::columns : Shape::lanes;
  for (std::ptrdiff_t slice = 0; slice < slices.count; ++slice) {
    const std::ptrdiff_t first_depth = slices.begin(slice);
    const T* const w = product.packed + (panel * product.depth + first_depth) * Shape::columns;
    // While the tiles use this slice, each of them prefetches its share of the next panel's slice.
    const T* const next = panel + 1 < tiling.panels ? w + product.depth * Shape::columns : w;
    const std::ptrdiff_t step = Shape::columns / (end - begin) + 1;
    for (std::ptrdiff_t index = begin; index < end; ++index) {
      const std::ptrdiff_t first = tiling.first_row(index);
      const std::ptrdiff_t rows = tiling.first_row(index + 1) - first;
      // If there is only one slice, there are no intermediate sums and no memory for them.
      T* const partial = slices.count > 1 ? sums + (index - begin) * Shape::rows * Shape::columns : nullptr;
      Tile<T> tile = {.a = product.a + first * product.a_stride + first_depth,
                      .a_stride = product.a_stride,
                      .w = w,
                      .depth = slices.size(slice),
                      .partial = slice > 0 ? partial : nullptr,
                      .next = next + (index - begin) * step * slices.size(slice),
                      .step = step,
                      .bias = nullptr,
                      .scale = nullptr,
                      .residual = nullptr,
                      .residual_stride = epilogue.residual_stride,
                      .c = partial,
                      .c_stride = Shape::columns};
      if (slice + 1 < slices.count) {
        tile_function<Arch, T>(rows, columns)(tile);
        continue;
      }
      if (epilogue.bias != nullptr) tile.bias = epilogue.bias + first_column;
      if (epilogue.kind == EpilogueKind::scaled_residual) {
        if (epilogue.scale != nullptr) tile.scale = epilogue.scale + first_column;
        if (epilogue.residual != nullptr) {
          tile.residual = epilogue.residual + first * epilogue.residual_stride + first_column;
        }
      }
      tile.c = product.c + first * product.c_stride + first_column;
      tile.c_stride = product.c_stride;
      if (present == columns) {
        finish_tile<Arch, T>(tile, rows, columns, epilogue.kind);
      } else {
        finish_narrow_tile<Arch, T>(tile, rows, columns, present, epilogue.kind);
      }
    }
  }
}

/// Number of tiles of the product, which the tasks divide among themselves.
template <class Arch, class T>
std::ptrdiff_t gemm_tiles(std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t depth) noexcept {
  return Tiling<Arch, T>(rows, columns, depth).count();
}

/// One task: computes tiles [begin, end) in the order of Tiling. `scratch` has gemm_scratch_elements values,
/// is aligned to 64 bytes and is used by this task only. An element of C does not depend on which task
/// computes it.
template <class Arch, class T>
void gemm_task(const GemmOperands<T>& product, std::ptrdiff_t begin, std::ptrdiff_t end,
               T* scratch) noexcept {
  const Tiling<Arch, T> tiling(product.rows, product.columns, product.depth);
  for (std::ptrdiff_t block = 0; block < tiling.blocks; ++block) {
    const std::ptrdiff_t first = tiling.first_tile(block);
    const std::ptrdiff_t tiles = tiling.first_tile(block + 1) - first;
    const std::ptrdiff_t stop = std::min(end - first * tiling.panels, tiles * tiling.panels);
    for (std::ptrdiff_t i = std::max<std::ptrdiff_t>(begin - first * tiling.panels, 0); i < stop;) {
      const std::ptrdiff_t from = i % tiles;
      const std::ptrdiff_t to = std::min(tiles, from + stop - i);
      gemm_panel<Arch, T>(product, tiling, i / tiles, first + from, first + to, scratch);
      i += to - from;
    }
  }
}

/// Computes the whole product in one task.
template <class Arch, class T>
void gemm_whole(const GemmOperands<T>& product, T* scratch) noexcept {
  gemm_task<Arch, T>(product, 0, gemm_tiles<Arch, T>(product.rows, product.columns, product.depth), scratch);
}

// Entries: see kernels/entry.hpp.

struct PackPanels {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&pack_panels<Arch, T>) {
    return &pack_panels<Arch, T>;
  }
};

struct PackPanelsTransposed {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&pack_panels_transposed<Arch, T>) {
    return &pack_panels_transposed<Arch, T>;
  }
};

struct GemmTiles {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&gemm_tiles<Arch, T>) {
    return &gemm_tiles<Arch, T>;
  }
};

struct GemmScratchElements {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&gemm_scratch_elements<Arch, T>) {
    return &gemm_scratch_elements<Arch, T>;
  }
};

struct GemmTask {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&gemm_task<Arch, T>) {
    return &gemm_task<Arch, T>;
  }
};

/// Columns of a panel of a packed weight.
struct GemmColumns {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> std::ptrdiff_t {
    return GemmShape<Arch, T>::columns;
  }
};

}  // namespace vbp::simd
