#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <Eigen/Eigenvalues>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/denoised.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// See denoised_scores. T is double; a template, so that it is compiled only where it is used.
template <class T>
Vector<T> denoised_scores_of(const Matrix<T>& covariance, std::int64_t images, double share) {
  if (images < 1) throw_value_error({"a denoised covariance needs at least one image"});
  const Eigen::SelfAdjointEigenSolver<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> spectrum(covariance);
  const Vector<T>& values = spectrum.eigenvalues();  // ascending
  const Index d = values.size();
  const double ratio = std::sqrt(static_cast<double>(d) / static_cast<double>(images));
  const double edge = std::max(0.0, values(d / 2)) * (1.0 + ratio) * (1.0 + ratio);
  Vector<T> denoised = Vector<T>::Zero(d);
  for (Index i = 0; i < d; ++i) {
    if (values(i) > edge) denoised += values(i) * spectrum.eigenvectors().col(i).cwiseAbs2();
  }
  return (1.0 - share) * covariance.diagonal() + share * denoised;
}

}  // namespace detail

VBP_FUNCTION Vector<double> denoised_scores(const Matrix<double>& covariance, std::int64_t images,
                                            double share) {
  return detail::denoised_scores_of<double>(covariance, images, share);
}

}  // namespace vbp::inline VBP_ABI
