#pragma once

#include <cmath>
#include <string>
#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/ridge.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_ridge_shapes(const MatrixView<double>& features, const MatrixView<double>& cross,
                                       const MatrixView<double>& centre) {
  const Index k = features.rows();
  if (features.cols() != k || cross.cols() != k || centre.cols() != k || cross.rows() != centre.rows()) {
    throw ShapeError("a ridge regression on " + std::to_string(k) + " features does not fit a cross " +
                     "covariance of [" + std::to_string(cross.rows()) + ", " + std::to_string(cross.cols()) +
                     "] and a centre of [" + std::to_string(centre.rows()) + ", " +
                     std::to_string(centre.cols()) + "]");
  }
}

VBP_FUNCTION void require_finite_regression(bool finite) {
  if (!finite) throw ValueError("a covariance or weight of a ridge regression is not finite");
}

}  // namespace detail

VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda,
                                  kernels::Workspace<double>& workspace) {
  detail::require_ridge_shapes(features, cross, centre);
  if (!(lambda >= 0.0 && std::isfinite(lambda))) {
    throw ValueError("lambda " + std::to_string(lambda) + " is not a number from 0 up");
  }
  const Index k = features.rows();
  const double scale = k > 0 ? features.trace() / static_cast<double>(k) : 0.0;
  detail::require_finite_regression(std::isfinite(scale) && centre.allFinite());
  if (scale <= 0.0) {
    detail::require_finite_regression(features.allFinite() && cross.allFinite());
    return centre;
  }
  Matrix<double> shrunk(k, k);
  workspace.pool().parallel_for(k, [&](Index i) { shrunk.row(i) = features.row(i); });
  shrunk.diagonal().array() += lambda * scale;
  Cholesky factor(std::move(shrunk), workspace);
  if (!factor.definite()) {
    detail::require_finite_regression(features.allFinite());
    throw ValueError("the covariance of the kept features is singular; a larger lambda than " +
                     std::to_string(lambda) + " is needed");
  }
  Matrix<double> solution = factor.solve(cross + lambda * scale * centre);
  detail::require_finite_regression(solution.allFinite());
  return solution;
}

VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda, Context context) {
  kernels::Workspace<double> workspace(std::move(context));
  return ridge(features, cross, centre, lambda, workspace);
}

}  // namespace vbp::inline VBP_ABI
