#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <Eigen/Eigenvalues>

#include "vbp/core/error.hpp"
#include "vbp/prune/criteria/denoised.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Vector<double> denoised_scores(const Matrix<double>& covariance, std::int64_t images,
                                            double share) {
  if (images < 1) throw ValueError("a denoised covariance needs at least one image");
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> spectrum(covariance);
  const Eigen::VectorXd& values = spectrum.eigenvalues();  // ascending
  const Index d = values.size();
  const double ratio = std::sqrt(static_cast<double>(d) / static_cast<double>(images));
  const double edge = std::max(0.0, values(d / 2)) * (1.0 + ratio) * (1.0 + ratio);
  Vector<double> denoised = Vector<double>::Zero(d);
  for (Index i = 0; i < d; ++i) {
    if (values(i) > edge) denoised += values(i) * spectrum.eigenvectors().col(i).cwiseAbs2();
  }
  return (1.0 - share) * covariance.diagonal() + share * denoised;
}

}  // namespace vbp::inline VBP_ABI
