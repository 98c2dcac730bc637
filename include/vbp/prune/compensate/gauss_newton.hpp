#pragma once
/// One Gauss-Newton step on the first layer of y = V f(W1 x + b1) + c: it fits what no closed form reaches,
/// without backpropagation through a network. docs/math.md derives it.

#include <concepts>
#include <cstdint>
#include <functional>

#include "vbp/core/dependent.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/weight_gradient.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/ridge.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// An activation f, applied to `count` values in place. Called from several threads.
using ActivateInPlace = std::function<void(float* values, Index count)>;

/// Call add_gradient for all batches, solve, add_curvature for all batches again, then step.
///
/// The Gauss-Newton matrix is approximated by the Kronecker product (E[s s^T] o V^T V) x E[x x^T], s = f'(u),
/// which takes inputs and slopes as independent; the length of the step then minimises the error of the
/// linearised output. Both expectations and that length are estimated from one row in `thinning`, the
/// gradient from all. f is any activation and its slope a central difference, which is exact enough for a
/// direction. T is float.
template <std::floating_point T>
class FirstLayerStep {
  using Double = detail::DoubleFor<T>;

 public:
  /// W1 [hidden, in] and b1 [hidden], which have to outlive this, and the second layer (V, c), which stays.
  FirstLayerStep(const Matrix<Double>& weight, const Vector<Double>& bias, const LinearFit& second,
                 Index thinning = 1);

  /// Inputs [rows, in] of the first layer and targets [rows, out] of the second.
  void add_gradient(const Matrix<T>& inputs, const Matrix<T>& targets, const ActivateInPlace& activate,
                    kernels::Workspace<T>& workspace);

  /// Computes the direction from what add_gradient has seen. Throws ValueError if that is not finite.
  void solve(kernels::Workspace<Double>& workspace);

  /// The same inputs again.
  void add_curvature(const MatrixView<T>& inputs, const ActivateInPlace& activate,
                     kernels::Workspace<T>& workspace);

  /// W1 and b1 after the step; unchanged where there is nothing to gain.
  LinearFit step() const;

 private:
  /// Of the mean diagonal: the Kronecker factors miss what makes some directions too long.
  static constexpr double kDamping = 1e-2;

  /// One row in thinning_.
  MatrixView<T> thinned(const MatrixView<T>& rows) const;
  /// numerator * matrix^-1, the matrix damped.
  static Matrix<Double> divide(Matrix<Double> numerator, Matrix<Double>& matrix,
                               kernels::Workspace<Double>& workspace);
  static void multiply(const MatrixView<T>& a, const kernels::PackedWeight<T>& weight, const T* bias,
                       Matrix<T>& out, kernels::Workspace<T>& workspace);
  /// hidden_ before its activation, and f' there.
  void find_slopes(const MatrixView<T>& inputs, const ActivateInPlace& activate,
                   kernels::Workspace<T>& workspace);

  const Matrix<Double>& weight_;
  const Vector<Double>& bias_;
  Vector<T> first_bias_, second_bias_, direction_bias_;
  Matrix<Double> second_;
  Index thinning_;
  kernels::PackedWeight<T> packed_first_, packed_second_, packed_back_, packed_direction_;
  kernels::WeightGradient<T> products_;
  Matrix<Double> gradient_;
  Covariance<T> inputs_, slopes_;
  Matrix<Double> direction_;
  std::int64_t rows_ = 0, across_rows_ = 0;
  double across_ = 0.0;
  Matrix<T> hidden_, slope_, lower_, residual_, back_, batch_weight_;
  Vector<T> batch_bias_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/gauss_newton-inl.hpp"
#endif
