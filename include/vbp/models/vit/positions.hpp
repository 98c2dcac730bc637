#pragma once
/// Position embeddings for another image size.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/dependent.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

/// Patches of an image: rows from the top, columns from the left.
struct PatchGrid {
  Index rows = 0;
  Index columns = 0;

  Index patches() const noexcept { return rows * columns; }
};

namespace detail {

/// The matrix [to, from] that resamples one axis with Keys' cubic kernel (a = -0.5), half-pixel centres, and
/// the kernel stretched over all inputs that fall on an output: PyTorch's mode "bicubic" with antialias. T is
/// double.
template <class T>
Matrix<T> cubic_resampling(Index from, Index to) {
  const auto kernel = [](double distance) {
    const double x = std::abs(distance);
    if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
    if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
    return 0.0;
  };
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  Matrix<T> weights(to, from);
  for (Index i = 0; i < to; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    for (Index k = 0; k < from; ++k) {
      weights(i, k) = kernel((static_cast<double>(k) + 0.5 - center) / stretch);
    }
    // What the kernel would have given to inputs beyond the border goes to those within.
    weights.row(i) /= weights.row(i).sum();
  }
  return weights;
}

}  // namespace detail

/// Position embeddings [prefix + old patches, dim] for another grid: [prefix + new patches, dim], the first
/// `prefix` rows unchanged. As timm's resample_abs_pos_embed: antialiased bicubic, rows and columns apart.
/// Throws ShapeError if the rows do not fit the old grid and ValueError if a grid is empty.
template <class T>
Matrix<T> resample_positions(const Matrix<T>& positions, Index prefix, PatchGrid old_grid,
                             PatchGrid new_grid) {
  for (const PatchGrid grid : {old_grid, new_grid}) {
    if (grid.rows <= 0 || grid.columns <= 0) {
      throw ValueError("a patch grid of " + std::to_string(grid.rows) + " x " + std::to_string(grid.columns));
    }
  }
  if (prefix < 0 || positions.rows() != prefix + old_grid.patches()) {
    throw ShapeError(std::to_string(positions.rows()) + " position embeddings for " + std::to_string(prefix) +
                     " prefix tokens and " + std::to_string(old_grid.rows) + " x " +
                     std::to_string(old_grid.columns) + " patches");
  }
  const Index dim = positions.cols();
  using Double = detail::DoubleFor<T>;
  const Matrix<Double> down = detail::cubic_resampling<Double>(old_grid.rows, new_grid.rows);
  const Matrix<Double> across = detail::cubic_resampling<Double>(old_grid.columns, new_grid.columns);
  const Matrix<Double> source = positions.bottomRows(old_grid.patches()).template cast<Double>();

  Matrix<Double> narrow(old_grid.rows * new_grid.columns, dim);
  for (Index row = 0; row < old_grid.rows; ++row) {
    narrow.middleRows(row * new_grid.columns, new_grid.columns).noalias() =
        across * source.middleRows(row * old_grid.columns, old_grid.columns);
  }
  // A row of patches is one long vector here, so that the other axis needs no transposition.
  const Eigen::Map<const Matrix<Double>> narrow_rows(narrow.data(), old_grid.rows, new_grid.columns * dim);
  const Matrix<Double> resampled = down * narrow_rows;

  Matrix<T> result(prefix + new_grid.patches(), dim);
  result.topRows(prefix) = positions.topRows(prefix);
  result.bottomRows(new_grid.patches()) =
      Eigen::Map<const Matrix<Double>>(resampled.data(), new_grid.patches(), dim).template cast<T>();
  return result;
}

/// The same model for images of `size` x `size`, with its position embeddings resampled.
/// Throws ValueError if the size is no positive multiple of the patch size.
template <class T>
VisionTransformer<T> with_image_size(VisionTransformer<T> model, Index size) {
  if (size == model.config.image_size) return model;
  VitConfig config = model.config;
  config.image_size = size;
  if (size <= 0 || size % config.patch_size != 0) {
    throw ValueError("an image size of " + std::to_string(size) +
                     " is no positive multiple of the patch size " + std::to_string(config.patch_size));
  }
  const Index prefix = config.position_covers_prefix ? config.prefix_tokens() : 0;
  const Index before = model.config.grid();
  const Index after = config.grid();
  model.positions = resample_positions(model.positions, prefix, {before, before}, {after, after});
  model.config = std::move(config);
  return model;
}

}  // namespace vbp::inline VBP_ABI
