#pragma once

#include "vbp/prune/criteria/magnitude.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<float>& fc1_weight) {
  return fc1_weight.cast<double>().rowwise().norm();
}

VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<double>& fc1_weight) {
  return fc1_weight.rowwise().norm();
}

}  // namespace vbp::inline VBP_ABI
