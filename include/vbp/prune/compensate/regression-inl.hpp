#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/kernels/gemm.hpp"
#include "vbp/prune/compensate/regression.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The moments of a regression, as covariances in double.
///
/// T is double; a template, so that it is compiled only where it is used.
template <class T>
struct RegressionMoments {
  static constexpr Index kColumns = 192;  ///< of the upper triangle in one product

  Matrix<T> features;  ///< their covariance; zero below the diagonal
  Matrix<T> cross;     ///< [targets, features]
  Vector<T> feature_mean, target_mean;
  double target_variance = 0.0;  ///< of all together

  /// Computed from the joint covariance's sums without forming that covariance, which may be large.
  RegressionMoments(const Covariance<float>& joint, ThreadPool& pool) {
    const Matrix<T>& products = joint.products();
    const Vector<T>& sum = joint.sum();
    const Index targets = joint.targets(), k = joint.features() - targets;
    const auto n = static_cast<double>(joint.count());
    features.resize(k, k);
    cross.resize(targets, k);
    pool.parallel_for(k, [&](Index i) {
      const double mean = sum(i) / n;
      features.row(i).head(i).setZero();
      features.row(i).tail(k - i) =
          (products.row(i).segment(i, k - i) - mean * sum.segment(i, k - i).transpose()) / n;
      features(i, i) = std::max(0.0, features(i, i));
    });
    pool.parallel_for(targets, [&](Index i) {
      cross.row(i) = (products.col(k + i).head(k) - sum(k + i) / n * sum.head(k)).transpose() / n;
    });
    const Vector<T> mean = joint.mean();
    feature_mean = mean.head(k);
    target_mean = mean.tail(targets);
    target_variance =
        (products.diagonal().tail(targets) - sum.tail(targets).cwiseAbs2() / n).cwiseMax(0.0).sum() / n;
  }

  Vector<T> bias(const Matrix<T>& weight) const { return target_mean - weight * feature_mean; }

  LinearFit solve(const Matrix<T>& centre, double shrinkage, kernels::Workspace<double>& workspace) const {
    LinearFit fit{ridge(features, cross, centre, shrinkage, workspace), {}};
    fit.bias = bias(fit.weight);
    return fit;
  }

  double error(const LinearFit& fit, kernels::Workspace<double>& workspace) const {
    // w F w^T of a symmetric F is twice that of its upper triangle, less that of its diagonal. A column of
    // the upper triangle ends on the diagonal.
    const Index k = features.cols(), targets = fit.weight.rows();
    kernels::PackedWeight<double> upper;
    Matrix<T> product;
    double form = -fit.weight.colwise().squaredNorm().dot(features.diagonal());
    for (Index first = 0; first < k; first += kColumns) {
      const Index count = std::min(kColumns, k - first);
      upper.assign_transposed(features.block(0, first, first + count, count), workspace.pool());
      product.resize(targets, count);
      kernels::gemm<double>(fit.weight.data(), k, targets, upper, {}, product.data(), count, workspace);
      form += 2.0 * product.cwiseProduct(fit.weight.middleCols(first, count)).sum();
    }
    const double fluctuation = target_variance - 2.0 * fit.weight.cwiseProduct(cross).sum() + form;
    return fluctuation + (bias(fit.weight) - fit.bias).squaredNorm();
  }
};

}  // namespace detail

VBP_FUNCTION HeldOutRegression::HeldOutRegression(Index features, Index targets)
    : fitted_(features + targets, targets), held_out_(features + targets, targets) {}

VBP_FUNCTION void HeldOutRegression::observe(const MatrixView<float>& features,
                                             const MatrixView<float>& targets, bool held_out,
                                             ThreadPool& pool) {
  (held_out ? held_out_ : fitted_).observe(features, targets, pool);
}

VBP_FUNCTION RegressionFit HeldOutRegression::solve(const Matrix<double>& centre,
                                                    const std::vector<double>& shrinkages,
                                                    kernels::Workspace<double>& workspace) && {
  using Moments = detail::RegressionMoments<double>;
  RegressionFit best{.shrinkage = shrinkages.front()};
  if (held_out_.count() > 0 && fitted_.count() > 1) {
    const Moments fitted(fitted_, workspace.pool()), unseen(held_out_, workspace.pool());
    std::vector<double> errors;
    for (const double shrinkage : shrinkages)
      errors.push_back(unseen.error(fitted.solve(centre, shrinkage, workspace), workspace));
    const auto least = std::min_element(errors.begin(), errors.end());
    best.held_out = *least;
    best.shrinkage = shrinkages[static_cast<std::size_t>(least - errors.begin())];
  }
  fitted_.merge(held_out_);
  const Moments moments(fitted_, workspace.pool());
  best.layer = moments.solve(centre, best.shrinkage, workspace);
  const double unit = moments.target_variance > 0.0 ? moments.target_variance : 1.0;
  best.error = moments.error(best.layer, workspace) / unit;
  best.centre_error = moments.error({centre, moments.bias(centre)}, workspace) / unit;
  return best;
}

}  // namespace vbp::inline VBP_ABI
