#pragma once
/// One Gauss-Newton step on the first layer of y = V f(W1 x + b1) + c: it fits what no closed form reaches,
/// without backpropagation through a network. docs/math.md derives it.

#include <cstdint>
#include <functional>

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
/// direction.
class FirstLayerStep {
 public:
  /// W1 [hidden, in] and b1 [hidden], which have to outlive this, and the second layer (V, c), which stays.
  VBP_FUNCTION FirstLayerStep(const Matrix<double>& weight, const Vector<double>& bias,
                              const LinearFit& second, Index thinning = 1);

  /// Inputs [rows, in] of the first layer and targets [rows, out] of the second.
  VBP_FUNCTION void add_gradient(const Matrix<float>& inputs, const Matrix<float>& targets,
                                 const ActivateInPlace& activate, kernels::Workspace<float>& workspace);

  /// Computes the direction from what add_gradient has seen. Throws ValueError if that is not finite.
  VBP_FUNCTION void solve(kernels::Workspace<double>& workspace);

  /// The same inputs again.
  VBP_FUNCTION void add_curvature(const MatrixView<float>& inputs, const ActivateInPlace& activate,
                                  kernels::Workspace<float>& workspace);

  /// W1 and b1 after the step; unchanged where there is nothing to gain.
  VBP_FUNCTION LinearFit step() const;

 private:
  /// Of the mean diagonal: the Kronecker factors miss what makes some directions too long.
  static constexpr double kDamping = 1e-2;

  /// One row in thinning_.
  VBP_FUNCTION MatrixView<float> thinned(const MatrixView<float>& rows) const;
  /// numerator * matrix^-1, the matrix damped.
  VBP_FUNCTION static Matrix<double> divide(Matrix<double> numerator, Matrix<double>& matrix,
                                            kernels::Workspace<double>& workspace);
  VBP_FUNCTION static void multiply(const MatrixView<float>& a, const kernels::PackedWeight<float>& weight,
                                    const float* bias, Matrix<float>& out,
                                    kernels::Workspace<float>& workspace);
  /// hidden_ before its activation, and f' there.
  VBP_FUNCTION void find_slopes(const MatrixView<float>& inputs, const ActivateInPlace& activate,
                                kernels::Workspace<float>& workspace);

  const Matrix<double>& weight_;
  const Vector<double>& bias_;
  Vector<float> first_bias_, second_bias_, direction_bias_;
  Matrix<double> second_;
  Index thinning_;
  kernels::PackedWeight<float> packed_first_, packed_second_, packed_back_, packed_direction_;
  kernels::WeightGradient<float> products_;
  Matrix<double> gradient_;
  Covariance<float> inputs_, slopes_;
  Matrix<double> direction_;
  std::int64_t rows_ = 0, across_rows_ = 0;
  double across_ = 0.0;
  Matrix<float> hidden_, slope_, lower_, residual_, back_, batch_weight_;
  Vector<float> batch_bias_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/gauss_newton-inl.hpp"
#endif
