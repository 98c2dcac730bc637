#pragma once
/// One Gauss-Newton step on the first layer of y = V f(W1 x + b1) + c: what a closed form cannot reach, still
/// without backpropagation through a network. docs/math.md derives it.

#include <cstdint>
#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/weight_gradient.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// Call add_gradient for all batches, solve, add_curvature for all batches again, then step.
///
/// The Gauss-Newton matrix is approximated by the Kronecker product (E[s s^T] o V^T V) x E[x x^T], s = f'(u),
/// which takes inputs and slopes as independent; the length of the step then minimises the error of the
/// linearised output. Both expectations and that length are estimated from one row in `thinning`, the
/// gradient from all. f is any activation, its slope a central difference: only a direction comes from it.
class FirstLayerStep {
 public:
  /// W1 [hidden, in], b1 [hidden], and the second layer (V, c), which stays.
  FirstLayerStep(const Matrix<double>& weight, const Vector<double>& bias, const LinearFit& second,
                 Index thinning = 1)
      : weight_(weight),
        bias_(bias),
        first_bias_(bias.cast<float>()),
        second_bias_(second.bias.cast<float>()),
        second_(second.weight),
        thinning_(thinning),
        packed_first_(Matrix<float>(weight.cast<float>())),
        packed_second_(Matrix<float>(second.weight.cast<float>())),
        packed_back_(Matrix<float>(second.weight.transpose().cast<float>())),
        gradient_(Matrix<double>::Zero(weight.rows(), weight.cols() + 1)),
        inputs_(weight.cols()),
        slopes_(weight.rows()) {}

  /// Inputs [rows, in] of the first layer and targets [rows, out] of the second; activate(values, count)
  /// applies f in place.
  template <class Activate>
  void add_gradient(const Matrix<float>& inputs, const Matrix<float>& targets, Activate&& activate,
                    kernels::Workspace<float>& workspace) {
    const Index rows = inputs.rows(), hidden = weight_.rows(), in = weight_.cols();
    find_slopes(inputs, activate, workspace);
    workspace.pool().parallel_for(rows, [&](Index i) { activate(hidden_.row(i).data(), hidden); });
    multiply(hidden_, packed_second_, second_bias_.data(), residual_, workspace);
    residual_ = targets - residual_;
    multiply(residual_, packed_back_, nullptr, back_, workspace);
    back_.array() *= slope_.array();
    batch_weight_.resize(hidden, in);
    batch_bias_.resize(hidden);
    products_(back_.data(), hidden, inputs.data(), in, rows, batch_weight_.data(), batch_bias_.data(),
              workspace);
    gradient_.leftCols(in) += batch_weight_.cast<double>();
    gradient_.col(in) += batch_bias_.cast<double>();
    rows_ += rows;
    inputs_.observe(thinned(inputs), workspace.pool());
    slopes_.observe(thinned(slope_), workspace.pool());
  }

  /// The direction, from what add_gradient has seen. Throws ValueError if that is not finite.
  void solve(kernels::Workspace<double>& workspace) {
    const Index in = weight_.cols();
    const auto n = static_cast<double>(inputs_.count());
    // Second moments about zero; the bias is an input that is always one.
    Matrix<double> inputs = Matrix<double>::Ones(in + 1, in + 1);
    const Vector<double> mean = inputs_.mean();
    inputs.topLeftCorner(in, in) = inputs_.m2() / n + mean * mean.transpose();
    inputs.topRightCorner(in, 1) = mean;
    inputs.bottomLeftCorner(1, in) = mean.transpose();
    const Matrix<double> back = second_.transpose();
    Matrix<double> outputs(back.rows(), back.rows());
    kernels::gemm<double>(back.data(), back.cols(), back.rows(), kernels::PackedWeight<double>(back), {},
                          outputs.data(), outputs.cols(), workspace);
    const Vector<double> slope = slopes_.mean();
    outputs = outputs.cwiseProduct(slopes_.m2() / n + slope * slope.transpose()).eval();
    const Matrix<double> half =
        divide((gradient_ / static_cast<double>(rows_)).transpose(), outputs, workspace);
    direction_ = divide(half.transpose(), inputs, workspace);
    packed_direction_ = kernels::PackedWeight<float>(Matrix<float>(direction_.leftCols(in).cast<float>()));
    direction_bias_ = direction_.col(in).cast<float>();
  }

  /// The inputs that add_gradient has seen.
  template <class Activate>
  void add_curvature(const MatrixView<float>& inputs, Activate&& activate,
                     kernels::Workspace<float>& workspace) {
    const MatrixView<float> some = thinned(inputs);
    find_slopes(some, activate, workspace);
    multiply(some, packed_direction_, direction_bias_.data(), back_, workspace);
    back_.array() *= slope_.array();
    multiply(back_, packed_second_, nullptr, residual_, workspace);
    across_ += residual_.template cast<double>().squaredNorm();
    across_rows_ += some.rows();
  }

  /// W1 and b1 after the step; unchanged where there is nothing to gain.
  LinearFit step() const {
    // <r, J> over all rows is the gradient along the direction.
    const double along = gradient_.cwiseProduct(direction_).sum() / static_cast<double>(rows_);
    const double length = across_ > 0.0 ? along * static_cast<double>(across_rows_) / across_ : 0.0;
    const Index in = weight_.cols();
    return {weight_ + length * direction_.leftCols(in), bias_ + length * direction_.col(in)};
  }

 private:
  /// Of the mean diagonal: the Kronecker factors leave out what makes some directions long.
  static constexpr double kDamping = 1e-2;

  /// One row in thinning_.
  MatrixView<float> thinned(const MatrixView<float>& rows) const {
    using Stride = Eigen::OuterStride<>;
    return Eigen::Map<const Matrix<float>, 0, Stride>(rows.data(), (rows.rows() + thinning_ - 1) / thinning_,
                                                      rows.cols(), Stride(thinning_ * rows.outerStride()));
  }

  /// numerator * matrix^-1, the matrix damped.
  static Matrix<double> divide(Matrix<double> numerator, Matrix<double>& matrix,
                               kernels::Workspace<double>& workspace) {
    const double mean = matrix.trace() / static_cast<double>(matrix.rows());
    matrix.diagonal().array() += mean > 0.0 ? kDamping * mean : 1.0;
    Cholesky factor(std::move(matrix), workspace);
    if (!factor.definite()) throw ValueError("the moments of a Gauss-Newton step are not finite");
    return factor.solve(std::move(numerator));
  }

  static void multiply(const MatrixView<float>& a, const kernels::PackedWeight<float>& weight,
                       const float* bias, Matrix<float>& out, kernels::Workspace<float>& workspace) {
    out.resize(a.rows(), weight.out());
    kernels::gemm<float>(a.data(), a.outerStride(), a.rows(), weight, {.bias = bias}, out.data(), out.cols(),
                         workspace);
  }

  /// hidden_ before its activation, and f' there.
  template <class Activate>
  void find_slopes(const MatrixView<float>& inputs, Activate&& activate,
                   kernels::Workspace<float>& workspace) {
    constexpr float step = 1.0F / 32.0F;
    const Index rows = inputs.rows(), hidden = weight_.rows();
    multiply(inputs, packed_first_, first_bias_.data(), hidden_, workspace);
    slope_.resize(rows, hidden);
    lower_.resize(rows, hidden);
    workspace.pool().parallel_for(rows, [&](Index i) {
      slope_.row(i) = hidden_.row(i).array() + step;
      lower_.row(i) = hidden_.row(i).array() - step;
      activate(slope_.row(i).data(), hidden);
      activate(lower_.row(i).data(), hidden);
      slope_.row(i) = (slope_.row(i) - lower_.row(i)) / (2.0F * step);
    });
  }

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
