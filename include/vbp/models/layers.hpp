#pragma once
/// The layers that all families of networks are made of, as plain Eigen matrices in PyTorch's layout.

#include "vbp/core/linear.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/mlp.hpp"

namespace vbp::inline VBP_ABI {

/// The activation between the two linear layers of an MLP.
enum class Activation {
  gelu,       ///< x Phi(x) with the exact normal distribution function (PyTorch's default)
  gelu_tanh,  ///< Hendrycks and Gimpel's tanh approximation (PyTorch's approximate="tanh")
};

/// Scale and shift of a layer norm, [dim] each; both empty where the model has no such norm.
template <class T>
struct LayerNorm {
  Vector<T> weight;
  Vector<T> bias;
};

namespace detail {

template <class T>
const T* data_or_null(const Vector<T>& values) noexcept {
  return values.size() > 0 ? values.data() : nullptr;
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
