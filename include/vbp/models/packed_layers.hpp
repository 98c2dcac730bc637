#pragma once
/// The layers of a forward pass, with their weights packed for the kernels.

#include <algorithm>
#include <string>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/activation.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/layer_norm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layers.hpp"

namespace vbp::inline VBP_ABI {

/// The observer of a plain forward pass: it is never called.
struct NoObserver {};

namespace detail {

template <class T>
struct PackedLinear {
  kernels::PackedWeight<T> weight;
  Vector<T> bias;
};

template <class T>
PackedLinear<T> pack(const Linear<T>& layer) {
  return {kernels::PackedWeight<T>(layer.weight), layer.bias};
}

constexpr kernels::EpilogueKind epilogue_of(Activation activation) noexcept {
  return activation == Activation::gelu ? kernels::EpilogueKind::bias_gelu
                                        : kernels::EpilogueKind::bias_gelu_tanh;
}

/// The activation of an MLP by itself, in place.
template <class T>
void activate(Activation activation, T* values, Index count) noexcept {
  if (activation == Activation::gelu) {
    kernels::gelu(values, count, values);
  } else {
    kernels::gelu_tanh(values, count, values);
  }
}

/// Rows that the GEMM reads as A lie an odd number of cache lines apart wherever their length is a power of
/// two, so that the rows of a tile do not compete for the same sets of the cache.
template <class T>
constexpr Index row_stride(Index columns) noexcept {
  constexpr Index line = AlignedBuffer<T>::kAlignment / sizeof(T);
  return (columns + line - 1) / line * line + line;
}

/// Elements rounded up to a whole cache line, so that what follows them in an arena is aligned.
constexpr Index aligned_elements(Index elements) noexcept {
  return (elements + 15) / 16 * 16;
}

template <class T>
void multiply(const T* a, Index a_stride, Index rows, const PackedLinear<T>& layer,
              kernels::Epilogue<T> epilogue, T* c, Index c_stride, kernels::Workspace<T>& workspace) {
  epilogue.bias = data_or_null(layer.bias);
  kernels::gemm(a, a_stride, rows, layer.weight, epilogue, c, c_stride, workspace);
}

/// Rows of norm.weight.size() values, from_stride and to_stride apart; `to` may be `from`.
template <class T>
void normalise(const LayerNorm<T>& norm, double epsilon, const T* from, Index from_stride, Index rows, T* to,
               Index to_stride, kernels::Workspace<T>& workspace) {
  kernels::layer_norm(from, from_stride, rows, norm.weight.size(), norm.weight.data(), norm.bias.data(),
                      static_cast<T>(epsilon), to, to_stride, workspace);
}

inline void require_images(Index values, Index elements) {
  if (values == elements) return;
  throw ShapeError("images of " + std::to_string(values) + " values for a model that takes " +
                   std::to_string(elements));
}

/// Throws ShapeError unless logits, or the gradient by them, are [images, outputs].
inline void require_logits(Index rows, Index cols, Index images, Index outputs) {
  if (rows == images && cols == outputs) return;
  throw ShapeError("logits of [" + std::to_string(rows) + ", " + std::to_string(cols) + "] for " +
                   std::to_string(images) + " images and " + std::to_string(outputs) + " outputs");
}

/// Cuts square images [n, channels * size * size], whose rows run channel, row, column, into squares of patch
/// x patch pixels, row by row from the left. Pixels left over at the lower and right border are dropped.
/// Patch p goes to out + p * out_stride and runs channel, row, column: a convolution whose kernels do not
/// overlap is a matrix product of such rows.
template <class T>
void cut_patches(const MatrixView<T>& images, Index channels, Index size, Index patch, T* out,
                 Index out_stride, ThreadPool& pool) {
  const Index grid = size / patch;
  pool.parallel_for(images.rows() * grid, [&](Index task) {
    const Index grid_row = task % grid;
    const T* const pixels = images.data() + task / grid * images.outerStride();
    for (Index grid_column = 0; grid_column < grid; ++grid_column) {
      T* to = out + (task * grid + grid_column) * out_stride;
      for (Index channel = 0; channel < channels; ++channel) {
        for (Index row = 0; row < patch; ++row, to += patch) {
          std::copy_n(pixels + (channel * size + grid_row * patch + row) * size + grid_column * patch, patch,
                      to);
        }
      }
    }
  });
}

/// The mean over `rows` rows of `columns` values without gaps between them. It is summed row after row: Eigen
/// rounds column means differently with the alignment of the memory, and so with an image's place in the
/// batch.
template <class T>
void average_rows(const T* from, Index rows, Index columns, T* to) {
  const Eigen::Map<const Matrix<T>> values(from, rows, columns);
  Eigen::Map<Eigen::Matrix<T, 1, Eigen::Dynamic>> mean(to, columns);
  mean.setZero();
  for (Index i = 0; i < rows; ++i) mean += values.row(i);
  mean /= static_cast<T>(rows);
}

/// The mean [maps, dim] over the pixels of each map, of [maps * pixels, dim].
template <class T>
void average_maps(const T* from, Index maps, Index pixels, Index dim, T* to, ThreadPool& pool) {
  pool.parallel_for(maps,
                    [&](Index map) { average_rows(from + map * pixels * dim, pixels, dim, to + map * dim); });
}

/// The index, within a map of side x side pixels, of the pixel (row, column) of a square of 2 x 2 pixels; -1
/// where the square reaches beyond the map.
constexpr Index pixel_of_square(Index side, Index square_row, Index square_column, Index row, Index column) {
  const Index map_row = 2 * square_row + row;
  const Index map_column = 2 * square_column + column;
  return map_row < side && map_column < side ? map_row * side + map_column : -1;
}

/// Calls visit(square, row, column, pixel) for each pixel (row, column) of each square of 2 x 2 pixels that
/// `maps` maps of `side` x `side` pixels are cut into, `squares` on a side. `pixel` is its index among the
/// pixels of all maps, -1 beyond the border.
template <class Visit>
void for_each_square_pixel(Index maps, Index side, Index squares, ThreadPool& pool, Visit&& visit) {
  pool.parallel_for(maps * squares, [&](Index task) {
    for (Index square_column = 0; square_column < squares; ++square_column) {
      for (Index place = 0; place < 4; ++place) {
        const Index pixel = pixel_of_square(side, task % squares, square_column, place / 2, place % 2);
        visit(task * squares + square_column, place / 2, place % 2,
              pixel < 0 ? pixel : task / squares * side * side + pixel);
      }
    }
  });
}

/// Lays the four pixels of each square behind each other, the squares `stride` apart; beyond the border there
/// are zeros. The left column of a square comes first, or its upper row.
template <class T>
void gather_squares(const T* from, Index maps, Index side, Index squares, Index dim, bool columns_first,
                    T* to, Index stride, ThreadPool& pool) {
  for_each_square_pixel(maps, side, squares, pool, [=](Index square, Index row, Index column, Index pixel) {
    const Index place = columns_first ? 2 * column + row : 2 * row + column;
    T* const target = to + square * stride + place * dim;
    if (pixel >= 0) {
      std::copy_n(from + pixel * dim, dim, target);
    } else {
      std::fill_n(target, dim, T(0));
    }
  });
}

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
