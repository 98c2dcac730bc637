#pragma once
/// The layers that all families of networks are made of, as plain Eigen matrices in PyTorch's layout.

#include <utility>

#include "vbp/core/concepts.hpp"
#include "vbp/core/types.hpp"

namespace vbp {

/// The activation between the two linear layers of an MLP.
enum class Activation {
  gelu,       ///< x Phi(x) with the exact normal distribution function (PyTorch's default)
  gelu_tanh,  ///< Hendrycks and Gimpel's tanh approximation (PyTorch's approximate="tanh")
};

/// y = x weight^T + bias; weight is [out, in], bias is [out] or empty for none.
template <class T>
struct Linear {
  Matrix<T> weight;
  Vector<T> bias;
};

/// Scale and shift of a layer norm, [dim] each; both empty where the model has no such norm.
template <class T>
struct LayerNorm {
  Vector<T> weight;
  Vector<T> bias;
};

/// The MLP of a block, fc2(gelu(fc1(x))): what is pruned. Models LinearGeluLinear, and so do the blocks of
/// every family, which are made of one.
template <class T>
struct FeedForward {
  using Scalar = T;

  Linear<T> fc1;  ///< [hidden, dim]
  Linear<T> fc2;  ///< [dim, hidden]

  const Matrix<T>& fc1_weight() const noexcept { return fc1.weight; }
  const Vector<T>& fc1_bias() const noexcept { return fc1.bias; }
  const Matrix<T>& fc2_weight() const noexcept { return fc2.weight; }
  const Vector<T>& fc2_bias() const noexcept { return fc2.bias; }
  void set_weights(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
    fc1 = {std::move(fc1_weight), std::move(fc1_bias)};
    fc2 = {std::move(fc2_weight), std::move(fc2_bias)};
  }
};

namespace detail {

template <class T>
const T* data_or_null(const Vector<T>& values) noexcept {
  return values.size() > 0 ? values.data() : nullptr;
}

}  // namespace detail

static_assert(require_linear_gelu_linear<FeedForward<float>>());

}  // namespace vbp
