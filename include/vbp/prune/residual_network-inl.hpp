#pragma once

#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A template, so that it is compiled only where it is used.
template <class Result, class Values>
Result converted(const Values& values) {
  return values.template cast<typename Result::Scalar>();
}

VBP_FUNCTION Matrix<double> in_double(const MatrixView<float>& values) {
  return converted<Matrix<double>>(values);
}
VBP_FUNCTION Vector<double> in_double(const VectorView<float>& values) {
  return converted<Vector<double>>(values);
}

}  // namespace vbp::inline VBP_ABI::detail
