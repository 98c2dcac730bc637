#pragma once

#include <string>

#include "vbp/core/error.hpp"
#include "vbp/prune/criteria/output_variance.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Vector<double> output_variance_scores(const Vector<double>& variance,
                                                   const Matrix<double>& weight) {
  if (weight.cols() != variance.size()) {
    throw ShapeError("a weight of " + std::to_string(weight.cols()) + " columns for " +
                     std::to_string(variance.size()) + " variances");
  }
  return variance.cwiseProduct(weight.colwise().squaredNorm().transpose());
}

}  // namespace vbp::inline VBP_ABI
