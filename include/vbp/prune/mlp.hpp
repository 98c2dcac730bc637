#pragma once
/// The plain two-layer block, without a network around it.

#include "vbp/core/concepts.hpp"
#include "vbp/core/linear.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// y = fc2(GELU(fc1(x))) with the exact (erf) GELU: the block that is pruned. fc1 is [hidden, in], fc2 is
/// [out, hidden]. Models LinearGeluLinear; the blocks of all model families derive from it.
template <class T>
struct Mlp {
  using Scalar = T;

  Linear<T> fc1, fc2;

  Mlp() = default;
  /// Throws ShapeError where the four do not fit together.
  Mlp(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias);

  Index in() const noexcept { return fc1.weight.cols(); }
  Index hidden() const noexcept { return fc1.weight.rows(); }
  Index out() const noexcept { return fc2.weight.rows(); }

  const Matrix<T>& fc1_weight() const noexcept { return fc1.weight; }
  const Vector<T>& fc1_bias() const noexcept { return fc1.bias; }
  const Matrix<T>& fc2_weight() const noexcept { return fc2.weight; }
  const Vector<T>& fc2_bias() const noexcept { return fc2.bias; }

  /// Replaces all four. Every size may differ from before. Throws ShapeError, and changes nothing, where they
  /// do not fit together.
  void set_weights(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias);

  /// GELU(W1 x + b1) for each row of x [rows, in]: [rows, hidden], what Statistics observes.
  Matrix<T> hidden_activation(const MatrixView<T>& x) const;

  /// The block's output for each row of x [rows, in]: [rows, out]. Runs on the calling thread.
  Matrix<T> operator()(const MatrixView<T>& x) const;
};

static_assert(require_linear_gelu_linear<Mlp<float>>());
static_assert(require_linear_gelu_linear<Mlp<double>>());

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/mlp-inl.hpp"
#endif
