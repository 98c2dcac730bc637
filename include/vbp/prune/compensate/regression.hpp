#pragma once
/// Ridge regression from streamed samples, its shrinkage chosen by samples that were held out.

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// Joint moments of features and targets, of the samples that are fitted and of those held out.
class FoldedRegression {
 public:
  FoldedRegression(Index features, Index targets)
      : fitted_(features + targets, targets), held_out_(features + targets, targets) {}

  void observe(const MatrixView<float>& features, const MatrixView<float>& targets, bool held_out,
               ThreadPool& pool) {
    (held_out ? held_out_ : fitted_).observe(features, targets, pool);
  }

  /// A weight, the bias that goes with it, its shrinkage, and mean squared errors of a row.
  struct Fit {
    LinearFit layer = {};
    double shrinkage = 0.0;
    double held_out = 0.0;      ///< of the fit to the fitted samples, on those held out
    double error = 0.0;         ///< of the returned layer on all samples, as a share of the targets' variance
    double centre_error = 0.0;  ///< of the centre, with the bias that goes with it
  };

  /// The ridge regression around `centre` whose shrinkage does best on the samples held out, computed on all:
  /// the last thing to be asked for, since the samples held out then count among the fitted ones.
  Fit solve(const Matrix<double>& centre, const std::vector<double>& shrinkages,
            kernels::Workspace<double>& workspace) && {
    Fit best{.shrinkage = shrinkages.front()};
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

 private:
  struct Moments {
    static constexpr Index kColumns = 192;  ///< of a triangle that are worked on together

    Matrix<double> features;  ///< their covariance; zero below the diagonal
    Matrix<double> cross;     ///< [targets, features]
    Vector<double> feature_mean, target_mean;
    double target_variance = 0.0;  ///< of all together

    /// The joint covariance's blocks, straight from its sums: it may be large, and this is done often.
    Moments(const Covariance<float>& joint, ThreadPool& pool) {
      const Matrix<double>& products = joint.products();
      const Vector<double>& sum = joint.sum();
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
      const Vector<double> mean = joint.mean();
      feature_mean = mean.head(k);
      target_mean = mean.tail(targets);
      target_variance =
          (products.diagonal().tail(targets) - sum.tail(targets).cwiseAbs2() / n).cwiseMax(0.0).sum() / n;
    }

    Vector<double> bias(const Matrix<double>& weight) const { return target_mean - weight * feature_mean; }

    LinearFit solve(const Matrix<double>& centre, double shrinkage,
                    kernels::Workspace<double>& workspace) const {
      LinearFit fit{ridge(features, cross, centre, shrinkage, workspace), {}};
      fit.bias = bias(fit.weight);
      return fit;
    }

    double error(const LinearFit& fit, kernels::Workspace<double>& workspace) const {
      // The form of a symmetric matrix is twice that of its upper triangle, less that of its diagonal; what
      // the triangle's columns hold ends on the diagonal.
      const Index k = features.cols(), targets = fit.weight.rows();
      kernels::PackedWeight<double> upper;
      Matrix<double> product;
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

  Covariance<float> fitted_, held_out_;
};

}  // namespace vbp::inline VBP_ABI
