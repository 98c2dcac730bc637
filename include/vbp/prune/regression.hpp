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
#include "vbp/prune/refit.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp {

/// Joint moments of features and targets, of the samples that are fitted and of those held out.
class FoldedRegression {
 public:
  FoldedRegression(Index features, Index targets)
      : features_(features), fitted_(features + targets), held_out_(features + targets) {}

  /// Rows [features | targets].
  void observe(const MatrixView<float>& rows, bool held_out, ThreadPool& pool) {
    (held_out ? held_out_ : fitted_).observe(rows, pool);
  }

  /// A weight, the bias that goes with it, its shrinkage, and mean squared errors of a row.
  struct Fit {
    LinearFit layer = {};
    double shrinkage = 0.0;
    double held_out = 0.0;      ///< of the fit to the fitted samples, on those held out
    double error = 0.0;         ///< of the returned layer on all samples, as a share of the targets' variance
    double centre_error = 0.0;  ///< of the centre, with the bias that goes with it
  };

  /// The ridge regression around `centre` whose shrinkage does best on the samples held out, computed on all.
  Fit solve(const Matrix<double>& centre, const std::vector<double>& shrinkages,
            kernels::Workspace<double>& workspace) const {
    Fit best{.shrinkage = shrinkages.front()};
    if (held_out_.count() > 0 && fitted_.count() > 1) {
      const Moments fitted(fitted_, features_), unseen(held_out_, features_);
      std::vector<double> errors;
      for (const double shrinkage : shrinkages)
        errors.push_back(unseen.error(fitted.solve(centre, shrinkage, workspace), workspace));
      const auto least = std::min_element(errors.begin(), errors.end());
      best.held_out = *least;
      best.shrinkage = shrinkages[static_cast<std::size_t>(least - errors.begin())];
    }
    Covariance<float> all = fitted_;
    all.merge(held_out_);
    const Moments moments(all, features_);
    best.layer = moments.solve(centre, best.shrinkage, workspace);
    const double unit = moments.target_variance > 0.0 ? moments.target_variance : 1.0;
    best.error = moments.error(best.layer, workspace) / unit;
    best.centre_error = moments.error({centre, moments.bias(centre)}, workspace) / unit;
    return best;
  }

 private:
  struct Moments {
    Matrix<double> features, cross;
    Vector<double> feature_mean, target_mean;
    double target_variance = 0.0;

    Moments(const Covariance<float>& joint, Index k) {
      const Matrix<double> m2 = joint.m2() / static_cast<double>(joint.count());
      const Vector<double> mean = joint.mean();
      const Index targets = m2.rows() - k;
      features = m2.topLeftCorner(k, k);
      cross = m2.bottomLeftCorner(targets, k);
      feature_mean = mean.head(k);
      target_mean = mean.tail(targets);
      target_variance = m2.bottomRightCorner(targets, targets).trace();
    }

    Vector<double> bias(const Matrix<double>& weight) const { return target_mean - weight * feature_mean; }

    LinearFit solve(const Matrix<double>& centre, double shrinkage,
                    kernels::Workspace<double>& workspace) const {
      LinearFit fit{ridge(features, cross, centre, shrinkage, workspace), {}};
      fit.bias = bias(fit.weight);
      return fit;
    }

    double error(const LinearFit& fit, kernels::Workspace<double>& workspace) const {
      Matrix<double> product(fit.weight.rows(), fit.weight.cols());
      kernels::gemm<double>(fit.weight.data(), fit.weight.cols(), fit.weight.rows(),
                            kernels::PackedWeight<double>(features), {}, product.data(), product.cols(),
                            workspace);
      const double fluctuation = target_variance - 2.0 * fit.weight.cwiseProduct(cross).sum() +
                                 product.cwiseProduct(fit.weight).sum();
      return fluctuation + (bias(fit.weight) - fit.bias).squaredNorm();
    }
  };

  Index features_;
  Covariance<float> fitted_, held_out_;
};

}  // namespace vbp
