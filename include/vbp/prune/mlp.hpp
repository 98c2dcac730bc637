#pragma once
/// The plain two-layer block: what VBP prunes, without a network around it.

#include <string>
#include <utility>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/linear.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/activation.hpp"

namespace vbp::inline VBP_ABI {

/// y = fc2(GELU(fc1(x))) with the exact (erf) GELU: what is pruned. fc1 is [hidden, in], fc2 is [out,
/// hidden]. Models LinearGeluLinear, and so do the blocks of every family, which are made of one.
template <class T>
struct Mlp {
  using Scalar = T;

  Linear<T> fc1, fc2;

  Mlp() = default;
  /// Throws ShapeError where the four do not fit together.
  Mlp(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
    set_weights(std::move(fc1_weight), std::move(fc1_bias), std::move(fc2_weight), std::move(fc2_bias));
  }

  Index in() const noexcept { return fc1.weight.cols(); }
  Index hidden() const noexcept { return fc1.weight.rows(); }
  Index out() const noexcept { return fc2.weight.rows(); }

  const Matrix<T>& fc1_weight() const noexcept { return fc1.weight; }
  const Vector<T>& fc1_bias() const noexcept { return fc1.bias; }
  const Matrix<T>& fc2_weight() const noexcept { return fc2.weight; }
  const Vector<T>& fc2_bias() const noexcept { return fc2.bias; }

  /// Replaces all four, checked together before any of them changes; every size may differ from before.
  void set_weights(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
    if (fc1_bias.size() != fc1_weight.rows() || fc2_weight.cols() != fc1_weight.rows() ||
        fc2_bias.size() != fc2_weight.rows()) {
      throw ShapeError("Mlp: fc1 " + shape(fc1_weight) + " + [" + std::to_string(fc1_bias.size()) +
                       "] and fc2 " + shape(fc2_weight) + " + [" + std::to_string(fc2_bias.size()) +
                       "] do not fit together");
    }
    fc1.weight = std::move(fc1_weight);
    fc1.bias = std::move(fc1_bias);
    fc2.weight = std::move(fc2_weight);
    fc2.bias = std::move(fc2_bias);
  }

  /// GELU(W1 x + b1) for each row of x [rows, in]: [rows, hidden], what Statistics observes.
  Matrix<T> hidden_activation(const MatrixView<T>& x) const {
    if (x.cols() != in()) {
      throw ShapeError("Mlp: input rows have " + std::to_string(x.cols()) + " features, fc1 takes " +
                       std::to_string(in()));
    }
    Matrix<T> h = x * fc1.weight.transpose();
    h.rowwise() += fc1.bias.transpose();
    kernels::gelu(h.data(), h.size(), h.data());
    return h;
  }

  /// The block's output for each row of x [rows, in]: [rows, out]. Plain Eigen products on one thread.
  Matrix<T> operator()(const MatrixView<T>& x) const {
    Matrix<T> y = hidden_activation(x) * fc2.weight.transpose();
    y.rowwise() += fc2.bias.transpose();
    return y;
  }

 private:
  static std::string shape(const Matrix<T>& m) {
    return "[" + std::to_string(m.rows()) + ", " + std::to_string(m.cols()) + "]";
  }
};

static_assert(require_linear_gelu_linear<Mlp<float>>());
static_assert(require_linear_gelu_linear<Mlp<double>>());

}  // namespace vbp::inline VBP_ABI
