#pragma once

#include "vbp/prune/criteria/magnitude.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A template, so that it is compiled only where it is used.
template <class T>
Vector<double> row_norms(const MatrixView<T>& matrix) {
  return matrix.template cast<double>().rowwise().norm();
}

}  // namespace detail

VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<float>& fc1_weight) {
  return detail::row_norms<float>(fc1_weight);
}

VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<double>& fc1_weight) {
  return detail::row_norms<double>(fc1_weight);
}

}  // namespace vbp::inline VBP_ABI
