#pragma once
/// Ridge regression from streamed samples, its shrinkage chosen by samples that are held out.

#include <vector>

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/ridge.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// A regression's weight and bias, its shrinkage, and mean squared errors of a row.
struct RegressionFit {
  LinearFit layer = {};
  double shrinkage = 0.0;
  double held_out = 0.0;      ///< of the fit to the fitted samples, on those held out
  double error = 0.0;         ///< of the returned layer on all samples, as a share of the targets' variance
  double centre_error = 0.0;  ///< the same of the centre with the bias that fits it best
};

/// Joint moments of features and targets, separately of the samples that are fitted and of those held out.
class HeldOutRegression {
 public:
  VBP_FUNCTION HeldOutRegression(Index features, Index targets);

  /// Adds samples [n, features] with their targets [n, targets]. Throws as Covariance::observe does.
  VBP_FUNCTION void observe(const MatrixView<float>& features, const MatrixView<float>& targets,
                            bool held_out, ThreadPool& pool);

  /// The ridge regression around `centre` [targets, features] whose shrinkage does best on the samples held
  /// out, then computed on all samples; the first shrinkage where none are held out. Ends the object's use.
  VBP_FUNCTION RegressionFit solve(const Matrix<double>& centre, const std::vector<double>& shrinkages,
                                   kernels::Workspace<double>& workspace) &&;

 private:
  Covariance<float> fitted_, held_out_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/regression-inl.hpp"
#endif
