#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/prune/compensate/refit.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_refit_shapes(const MatrixView<double>& w2, const VectorView<double>& b2,
                                       const VectorView<double>& mean, const Matrix<double>& covariance) {
  if (b2.size() != w2.rows() || mean.size() != w2.cols() || covariance.rows() != w2.cols() ||
      covariance.cols() != w2.cols()) {
    throw_shape_error({"a weight of [", w2.rows(), ", ", w2.cols(), "] cannot be refitted with ", mean.size(),
                       " means and a covariance of [", covariance.rows(), ", ", covariance.cols(), "]"});
  }
}

/// See refit. T is double; a template, so that it is compiled only where it is used.
template <class T>
LinearFit refit_of(const MatrixView<T>& w2, const VectorView<T>& b2, const VectorView<T>& mean,
                   const Matrix<T>& covariance, std::span<const Index> kept, const RefitOptions& options,
                   kernels::Workspace<T>& workspace) {
  require_refit_shapes(w2, b2, mean, covariance);
  if (!mean.allFinite()) throw_value_error({"a mean is not finite"});
  const std::vector<Index> pruned = complement(kept, w2.cols());
  const Matrix<T> kept_weight = select_columns(w2, kept);
  const Matrix<T> pruned_weight = select_columns(w2, pruned);
  // The covariance is symmetric, so that its kept rows are its kept columns.
  kernels::PackedWeight<T> kept_rows;
  kept_rows.assign(select_rows(covariance, kept), workspace.pool());
  Matrix<T> cross(w2.rows(), kept_weight.cols());
  kernels::gemm<T>(w2.data(), w2.outerStride(), w2.rows(), kept_rows, {}, cross.data(), cross.cols(),
                   workspace);
  const Matrix<T> weight =
      ridge(submatrix(covariance, kept, kept), cross, kept_weight, options.lambda, workspace);
  return {weight, b2 + pruned_weight * select(mean, pruned) - (weight - kept_weight) * select(mean, kept)};
}

template <class T>
double whole_variance(const MatrixView<T>& w2, const Matrix<T>& covariance) {
  return (w2 * covariance).cwiseProduct(w2).sum();
}

template <class T>
double output_error_of(const MatrixView<T>& w2, const Matrix<T>& covariance, std::span<const Index> kept,
                       const MatrixView<T>& weight) {
  Matrix<T> difference = w2;
  for (Index c = 0; c < weight.cols(); ++c)
    difference.col(kept[static_cast<std::size_t>(c)]) -= weight.col(c);
  return (difference * covariance).cwiseProduct(difference).sum();
}

}  // namespace detail

VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options,
                             kernels::Workspace<double>& workspace) {
  return detail::refit_of<double>(w2, b2, mean, covariance, kept, options, workspace);
}

VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options, Context context) {
  kernels::Workspace<double> workspace(std::move(context));
  return refit(w2, b2, mean, covariance, kept, options, workspace);
}

VBP_FUNCTION double output_error(const MatrixView<double>& w2, const Matrix<double>& covariance,
                                 std::span<const Index> kept, const MatrixView<double>& weight) {
  return detail::output_error_of<double>(w2, covariance, kept, weight);
}

namespace detail {

VBP_FUNCTION BlockRefit refit_block(const MatrixView<double>& w2, const VectorView<double>& b2,
                                    const VectorView<double>& mean, const Matrix<double>& covariance,
                                    std::span<const Index> kept, const RefitOptions& options,
                                    kernels::Workspace<double>& workspace) {
  BlockRefit result{.fit = refit(w2, b2, mean, covariance, kept, options, workspace), .error = {}};
  result.error = {.variance = whole_variance<double>(w2, covariance),
                  .mean_shift = output_error(w2, covariance, kept, select_columns(w2, kept)),
                  .refit = output_error(w2, covariance, kept, result.fit.weight)};
  return result;
}

template <class T>
std::pair<Matrix<T>, Vector<T>> rounded_fit(const LinearFit& fit) {
  std::pair<Matrix<T>, Vector<T>> result{fit.weight.template cast<T>(), fit.bias.template cast<T>()};
  if (!result.first.allFinite() || !result.second.allFinite()) {
    throw_value_error({"the refitted layer is not finite"});
  }
  return result;
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
