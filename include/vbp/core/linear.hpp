#pragma once
/// A linear layer, as plain Eigen matrices in PyTorch's layout.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// y = x weight^T + bias; weight is [out, in], bias is [out], or empty if the layer has none.
template <class T>
struct Linear {
  Matrix<T> weight;
  Vector<T> bias;
};

}  // namespace vbp::inline VBP_ABI
