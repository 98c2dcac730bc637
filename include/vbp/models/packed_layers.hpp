#pragma once
/// What the forward passes of all families share.

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

/// Sees nothing: the observer of a plain forward pass.
struct NoObserver {};

struct InferenceOptions {
  int threads = 0;  ///< 0: one a hardware thread
};

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

/// Elements rounded up to a whole cache line, for what lies behind them in an arena.
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

template <class T>
void require_images(const MatrixView<T>& images, Index elements) {
  if (images.cols() == elements) return;
  throw ShapeError("images of " + std::to_string(images.cols()) + " values for a model that takes " +
                   std::to_string(elements));
}

/// The squares of patch x patch pixels that square images [n, channels * size * size] (a row runs channel,
/// row, column) are cut into, row by row from the left; what is left over at the lower and right border is
/// in none. Patch p goes to out + p * out_stride and runs channel, row, column: a convolution whose kernels
/// do not overlap is a matrix product of such rows.
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

/// The mean over `rows` rows of `columns` values without gaps between them. Row after row: Eigen's column
/// means are rounded differently with the alignment of the memory, and so with an image's place in the
/// batch.
template <class T>
void average_rows(const T* from, Index rows, Index columns, T* to) {
  const Eigen::Map<const Matrix<T>> values(from, rows, columns);
  Eigen::Map<Eigen::Matrix<T, 1, Eigen::Dynamic>> mean(to, columns);
  mean.setZero();
  for (Index i = 0; i < rows; ++i) mean += values.row(i);
  mean /= static_cast<T>(rows);
}

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
