#pragma once

#include <cmath>
#include <string>
#include <utility>

#include "vbp/core/message.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/ridge.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_ridge_shapes(const MatrixView<double>& features, const MatrixView<double>& cross,
                                       const MatrixView<double>& centre) {
  const Index k = features.rows();
  if (features.cols() != k || cross.cols() != k || centre.cols() != k || cross.rows() != centre.rows()) {
    throw_shape_error({"a ridge regression on ", k, " features does not fit a cross ", "covariance of [",
                       cross.rows(), ", ", cross.cols(), "] and a centre of [", centre.rows(), ", ",
                       centre.cols(), "]"});
  }
}

VBP_FUNCTION void require_finite_regression(bool finite) {
  if (!finite) throw_value_error({"a covariance or weight of a ridge regression is not finite"});
}

/// See ridge. T is double; a template, so that it is compiled only where it is used.
template <class T>
Matrix<T> ridge_of(const MatrixView<T>& features, const MatrixView<T>& cross, const MatrixView<T>& centre,
                   double lambda, kernels::Workspace<T>& workspace) {
  require_ridge_shapes(features, cross, centre);
  if (!(lambda >= 0.0 && std::isfinite(lambda))) {
    throw_value_error({"lambda ", std::to_string(lambda), " is not a number from 0 up"});
  }
  const Index k = features.rows();
  const double scale = k > 0 ? features.trace() / static_cast<double>(k) : 0.0;
  require_finite_regression(std::isfinite(scale) && centre.allFinite());
  if (scale <= 0.0) {
    require_finite_regression(features.allFinite() && cross.allFinite());
    return centre;
  }
  Matrix<T> shrunk(k, k);
  workspace.pool().parallel_for(k, [&](Index i) { shrunk.row(i) = features.row(i); });
  shrunk.diagonal().array() += lambda * scale;
  Cholesky<T> factor(std::move(shrunk), workspace);
  if (!factor.definite()) {
    require_finite_regression(features.allFinite());
    throw_value_error({"the covariance of the kept features is singular; a larger lambda than ",
                       std::to_string(lambda), " is needed"});
  }
  Matrix<T> solution = factor.solve(cross + lambda * scale * centre);
  require_finite_regression(solution.allFinite());
  return solution;
}

}  // namespace detail

VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda,
                                  kernels::Workspace<double>& workspace) {
  return detail::ridge_of<double>(features, cross, centre, lambda, workspace);
}

VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda, Context context) {
  kernels::Workspace<double> workspace(std::move(context));
  return ridge(features, cross, centre, lambda, workspace);
}

}  // namespace vbp::inline VBP_ABI
