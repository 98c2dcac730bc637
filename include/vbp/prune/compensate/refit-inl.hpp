#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/prune/compensate/refit.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_refit_shapes(const MatrixView<double>& w2, const VectorView<double>& b2,
                                       const VectorView<double>& mean, const Matrix<double>& covariance) {
  if (b2.size() != w2.rows() || mean.size() != w2.cols() || covariance.rows() != w2.cols() ||
      covariance.cols() != w2.cols()) {
    throw ShapeError("a weight of [" + std::to_string(w2.rows()) + ", " + std::to_string(w2.cols()) +
                     "] cannot be refitted with " + std::to_string(mean.size()) +
                     " means and a covariance of [" + std::to_string(covariance.rows()) + ", " +
                     std::to_string(covariance.cols()) + "]");
  }
}

}  // namespace detail

VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options,
                             kernels::Workspace<double>& workspace) {
  detail::require_refit_shapes(w2, b2, mean, covariance);
  if (!mean.allFinite()) throw ValueError("a mean is not finite");
  const std::vector<Index> pruned = complement(kept, w2.cols());
  const Matrix<double> kept_weight = select_columns(w2, kept);
  const Matrix<double> pruned_weight = select_columns(w2, pruned);
  // The covariance is symmetric, so that its kept rows are its kept columns.
  kernels::PackedWeight<double> kept_rows;
  kept_rows.assign(select_rows(covariance, kept), workspace.pool());
  Matrix<double> cross(w2.rows(), kept_weight.cols());
  kernels::gemm<double>(w2.data(), w2.outerStride(), w2.rows(), kept_rows, {}, cross.data(), cross.cols(),
                        workspace);
  LinearFit fit;
  fit.weight = ridge(submatrix(covariance, kept, kept), cross, kept_weight, options.lambda, workspace);
  fit.bias = b2 + pruned_weight * select(mean, pruned) - (fit.weight - kept_weight) * select(mean, kept);
  return fit;
}

VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options, Context context) {
  kernels::Workspace<double> workspace(std::move(context));
  return refit(w2, b2, mean, covariance, kept, options, workspace);
}

VBP_FUNCTION double output_error(const MatrixView<double>& w2, const Matrix<double>& covariance,
                                 std::span<const Index> kept, const MatrixView<double>& weight) {
  Matrix<double> difference = w2;
  for (Index c = 0; c < weight.cols(); ++c)
    difference.col(kept[static_cast<std::size_t>(c)]) -= weight.col(c);
  return (difference * covariance).cwiseProduct(difference).sum();
}

namespace detail {

VBP_FUNCTION BlockRefit refit_block(const MatrixView<double>& w2, const VectorView<double>& b2,
                                    const VectorView<double>& mean, const Matrix<double>& covariance,
                                    std::span<const Index> kept, const RefitOptions& options,
                                    kernels::Workspace<double>& workspace) {
  BlockRefit result{.fit = refit(w2, b2, mean, covariance, kept, options, workspace), .error = {}};
  result.error = {.variance = (w2 * covariance).cwiseProduct(w2).sum(),
                  .mean_shift = output_error(w2, covariance, kept, select_columns(w2, kept)),
                  .refit = output_error(w2, covariance, kept, result.fit.weight)};
  return result;
}

template <class T>
std::pair<Matrix<T>, Vector<T>> rounded_fit(const LinearFit& fit) {
  std::pair<Matrix<T>, Vector<T>> result{fit.weight.template cast<T>(), fit.bias.template cast<T>()};
  if (!result.first.allFinite() || !result.second.allFinite()) {
    throw ValueError("the refitted layer is not finite");
  }
  return result;
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
