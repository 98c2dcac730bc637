#pragma once
/// The members that a network block needs before vbp can prune it. Each concept checks one member, so that
/// the compiler's message names the missing one.

#include <concepts>
#include <utility>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// B::Scalar is the type of the weights: float or double.
template <class B>
concept HasScalar = requires {
  typename B::Scalar;
}
&&std::floating_point<typename B::Scalar>;

/// b.fc1_weight() is W1, [hidden, in].
template <class B>
concept HasFc1Weight = requires(const B& b) {
  { b.fc1_weight() } -> std::convertible_to<MatrixView<typename B::Scalar>>;
};

/// b.fc1_bias() is b1, [hidden].
template <class B>
concept HasFc1Bias = requires(const B& b) {
  { b.fc1_bias() } -> std::convertible_to<VectorView<typename B::Scalar>>;
};

/// b.fc2_weight() is W2, [out, hidden].
template <class B>
concept HasFc2Weight = requires(const B& b) {
  { b.fc2_weight() } -> std::convertible_to<MatrixView<typename B::Scalar>>;
};

/// b.fc2_bias() is b2, [out].
template <class B>
concept HasFc2Bias = requires(const B& b) {
  { b.fc2_bias() } -> std::convertible_to<VectorView<typename B::Scalar>>;
};

/// b.set_weights(W1, b1, W2, b2) replaces all four; the new hidden width may be smaller than the old one.
template <class B>
concept HasSetWeights = requires(B& b, Matrix<typename B::Scalar> w, Vector<typename B::Scalar> v) {
  b.set_weights(std::move(w), std::move(v), std::move(w), std::move(v));
};

/// A block y = W2 GELU(W1 x + b1) + b2 in PyTorch's layout. The type needs no base class. It may keep its
/// weights in any storage that Eigen can read, for example an Eigen::Map over a buffer.
template <class B>
concept LinearGeluLinear =
    HasScalar<B> && HasFc1Weight<B> && HasFc1Bias<B> && HasFc2Weight<B> && HasFc2Bias<B> && HasSetWeights<B>;

/// Stops the compilation with one error message for each member that B lacks. Returns true, so that users can
/// call it in a static_assert in their own headers.
template <class B>
consteval bool require_linear_gelu_linear() {
  static_assert(HasScalar<B>, "vbp: the block needs a member type Scalar that is float or double");
  if constexpr (HasScalar<B>) {
    static_assert(HasFc1Weight<B>,
                  "vbp: the block needs fc1_weight() const, a [hidden, in] matrix of Scalar");
    static_assert(HasFc1Bias<B>, "vbp: the block needs fc1_bias() const, a [hidden] vector of Scalar");
    static_assert(HasFc2Weight<B>,
                  "vbp: the block needs fc2_weight() const, an [out, hidden] matrix of Scalar");
    static_assert(HasFc2Bias<B>, "vbp: the block needs fc2_bias() const, an [out] vector of Scalar");
    static_assert(HasSetWeights<B>,
                  "vbp: the block needs set_weights(Matrix<Scalar> fc1_weight, Vector<Scalar> fc1_bias, "
                  "Matrix<Scalar> fc2_weight, Vector<Scalar> fc2_bias)");
  }
  return true;
}

}  // namespace vbp::inline VBP_ABI
