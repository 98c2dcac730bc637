#pragma once

#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI::detail {

VBP_FUNCTION Matrix<double> in_double(const MatrixView<float>& values) {
  return values.cast<double>();
}
VBP_FUNCTION Vector<double> in_double(const VectorView<float>& values) {
  return values.cast<double>();
}

}  // namespace vbp::inline VBP_ABI::detail
