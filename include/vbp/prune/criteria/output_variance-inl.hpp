#pragma once

#include <string>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/output_variance.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A template, so that it is compiled only where it is used.
template <class T>
Vector<T> weighted_variance(const Vector<T>& variance, const Matrix<T>& weight) {
  return variance.cwiseProduct(weight.colwise().squaredNorm().transpose());
}

}  // namespace detail

VBP_FUNCTION Vector<double> output_variance_scores(const Vector<double>& variance,
                                                   const Matrix<double>& weight) {
  if (weight.cols() != variance.size()) {
    throw_shape_error({"a weight of ", weight.cols(), " columns for ", variance.size(), " variances"});
  }
  return detail::weighted_variance<double>(variance, weight);
}

}  // namespace vbp::inline VBP_ABI
