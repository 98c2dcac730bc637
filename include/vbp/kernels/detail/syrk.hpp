#pragma once
/// X^T X of a tall X. Only the panels of the upper triangle are computed, which needs half the products of a
/// general matrix product.

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/detail/simd.hpp"

namespace vbp::simd {

/// The sizes of the register tile and of the cache blocks. X is packed once, and its panels serve as left and
/// as right factors. So the number of columns of a tile must be a multiple of its rows.
template <class Arch, class T>
struct SyrkShape {
  static constexpr std::ptrdiff_t lanes = Batch<Arch, T>::size;
  /// A tile is three registers wide, so that each broadcast feeds three multiply-adds.
  static constexpr std::ptrdiff_t columns = 3 * lanes;
  /// 8 x 3 accumulators if there are 32 registers, 4 x 3 if there are 16, and 3 x 3 if a register holds only
  /// two doubles. AArch64 has 32 registers of 16 bytes.
#if defined(__aarch64__)
  static constexpr std::ptrdiff_t rows = 6;
#else
  static constexpr std::ptrdiff_t rows = kRegisterBytes<Arch, T> == 64 ? 8 : columns % 4 == 0 ? 4 : 3;
#endif
  static_assert(columns % rows == 0);
  /// Number of samples whose products are summed in T before the sum is added in float64. Meanwhile the
  /// slices of two panels stay in a cache. The small tile for 16 registers must read them from the first
  /// level, which has at least 32 KiB. For a tile of 24 sums, the second level is fast enough.
  static constexpr std::ptrdiff_t depth =
      kRegisterBytes<Arch, T> == 64
          ? 256
          : std::min<std::ptrdiff_t>(256, 12 * 1024 / (columns * static_cast<std::ptrdiff_t>(sizeof(T))));
};

/// Packs x_ij - shift[j] of `rows` rows with row stride `stride` and `present` columns into one panel, row by
/// row. Missing columns are zeros. Adds each column's sum to sum[j] and sets largest[j] to the column's
/// largest magnitude.
template <class Arch, class T, class S>
void pack_shifted(const S* samples, std::ptrdiff_t rows, std::ptrdiff_t stride, std::ptrdiff_t present,
                  const T* shift, T* packed, double* sum, T* largest) noexcept {
  using Shape = SyrkShape<Arch, T>;
  // The subtraction is done in the wider of the two types, so that a deviation is rounded only once.
  using Wide = std::common_type_t<S, T>;
  T part[static_cast<std::size_t>(Shape::columns)] = {};
  for (std::ptrdiff_t i = 0; i < rows; ++i, packed += Shape::columns) {
    const S* const from = samples + i * stride;
    // The rows of a panel are too far apart for the hardware prefetcher.
    prefetch(from + 8 * stride, present);
    for (std::ptrdiff_t j = 0; j < present; ++j) {
      const T deviation = static_cast<T>(static_cast<Wide>(from[j]) - static_cast<Wide>(shift[j]));
      packed[j] = deviation;
      part[j] += deviation;
      const T magnitude = deviation < T(0) ? -deviation : deviation;
      largest[j] = std::max(largest[j], magnitude);
    }
    for (std::ptrdiff_t j = present; j < Shape::columns; ++j) packed[j] = T(0);
    if ((i + 1) % Shape::depth == 0 || i + 1 == rows) {
      for (std::ptrdiff_t j = 0; j < present; ++j) {
        sum[j] += static_cast<double>(part[j]);
        part[j] = T(0);
      }
    }
  }
}

/// total[rows x columns] += left^T right over `depth` samples, summed in T. `left` points to the tile's first
/// column in its panel.
template <class Arch, class T>
void syrk_tile(const T* left, const T* right, std::ptrdiff_t depth, double* total) noexcept {
  using Shape = SyrkShape<Arch, T>;
  using B = Batch<Arch, T>;
  constexpr std::ptrdiff_t lanes = Shape::lanes;
  B sum[Shape::rows][3];
  unrolled<Shape::rows>([&](auto i) { unrolled<3>([&](auto j) { sum[i][j] = B(T(0)); }); });
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const T* const row = right + k * Shape::columns;
    const B first = in_register<Arch, T>(B::load_aligned(row));
    const B second = in_register<Arch, T>(B::load_aligned(row + lanes));
    const B third = in_register<Arch, T>(B::load_aligned(row + 2 * lanes));
    unrolled<Shape::rows>([&](auto i) {
      const B factor(left[k * Shape::columns + i]);
      sum[i][0] = multiply_add<Arch, T>(factor, first, sum[i][0]);
      sum[i][1] = multiply_add<Arch, T>(factor, second, sum[i][1]);
      sum[i][2] = multiply_add<Arch, T>(factor, third, sum[i][2]);
    });
  }
  constexpr auto elements = static_cast<std::size_t>(Shape::rows * Shape::columns);
  alignas(64) T sums[elements];
  unrolled<Shape::rows>([&](auto i) {
    unrolled<3>([&](auto j) { sum[i][j].store_aligned(sums + i * Shape::columns + j * lanes); });
  });
  for (std::size_t e = 0; e < elements; ++e) total[e] += static_cast<double>(sums[e]);
}

/// products[i, j] += the sum over `rows` samples of left[., i] right[., j] for one pair of packed panels, in
/// which left_present and right_present columns exist. At most SyrkShape::depth products are summed in T;
/// these sums are added in double.
template <class Arch, class T>
void add_panel_products(const T* left, const T* right, std::ptrdiff_t rows, std::ptrdiff_t left_present,
                        std::ptrdiff_t right_present, double* products, std::ptrdiff_t stride) noexcept {
  using Shape = SyrkShape<Arch, T>;
  constexpr auto elements = static_cast<std::size_t>(Shape::columns * Shape::columns);
  alignas(64) double total[elements] = {};
  for (std::ptrdiff_t i = 0; i < left_present; ++i) prefetch(products + i * stride, right_present);
  for (std::ptrdiff_t k = 0; k < rows; k += Shape::depth) {
    for (std::ptrdiff_t i = 0; i < left_present; i += Shape::rows) {
      syrk_tile<Arch, T>(left + k * Shape::columns + i, right + k * Shape::columns,
                         std::min(Shape::depth, rows - k), total + i * Shape::columns);
    }
  }
  for (std::ptrdiff_t i = 0; i < left_present; ++i) {
    double* const to = products + i * stride;
    const double* const from = total + i * Shape::columns;
    for (std::ptrdiff_t j = 0; j < right_present; ++j) to[j] += from[j];
  }
}

/// square_sum[j] += the sum over `rows` samples of the squares in column j of a packed panel, in which
/// `present` columns exist. At most SyrkShape::depth squares are summed in T; these sums are added in double.
template <class Arch, class T>
void add_panel_squares(const T* panel, std::ptrdiff_t rows, std::ptrdiff_t present,
                       double* square_sum) noexcept {
  using Shape = SyrkShape<Arch, T>;
  using B = Batch<Arch, T>;
  for (std::ptrdiff_t first = 0; first < rows; first += Shape::depth) {
    B sum[3] = {B(T(0)), B(T(0)), B(T(0))};
    for (std::ptrdiff_t k = first; k < std::min(first + Shape::depth, rows); ++k) {
      unrolled<3>([&](auto j) {
        const B deviation = B::load_aligned(panel + k * Shape::columns + j * Shape::lanes);
        sum[j] = multiply_add<Arch, T>(deviation, deviation, sum[j]);
      });
    }
    alignas(64) T sums[static_cast<std::size_t>(Shape::columns)];
    unrolled<3>([&](auto j) { sum[j].store_aligned(sums + j * Shape::lanes); });
    for (std::ptrdiff_t j = 0; j < present; ++j) square_sum[j] += static_cast<double>(sums[j]);
  }
}

// Entries: see kernels/entry.hpp.

struct AddPanelProducts {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&add_panel_products<Arch, T>) {
    return &add_panel_products<Arch, T>;
  }
};

struct AddPanelSquares {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&add_panel_squares<Arch, T>) {
    return &add_panel_squares<Arch, T>;
  }
};

template <class S>
struct PackShifted {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> decltype(&pack_shifted<Arch, T, S>) {
    return &pack_shifted<Arch, T, S>;
  }
};

/// Columns of a panel of packed deviations.
struct SyrkColumns {
  template <class Arch, class T>
  static constexpr auto body() noexcept -> std::ptrdiff_t {
    return SyrkShape<Arch, T>::columns;
  }
};

}  // namespace vbp::simd
