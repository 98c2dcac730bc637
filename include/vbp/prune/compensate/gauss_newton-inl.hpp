#pragma once

#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION FirstLayerStep::FirstLayerStep(const Matrix<double>& weight, const Vector<double>& bias,
                                            const LinearFit& second, Index thinning)
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

VBP_FUNCTION void FirstLayerStep::add_gradient(const Matrix<float>& inputs, const Matrix<float>& targets, const ActivateInPlace& activate,
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

VBP_FUNCTION void FirstLayerStep::solve(kernels::Workspace<double>& workspace) {
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

VBP_FUNCTION void FirstLayerStep::add_curvature(const MatrixView<float>& inputs, const ActivateInPlace& activate,
                   kernels::Workspace<float>& workspace) {
  const MatrixView<float> some = thinned(inputs);
  find_slopes(some, activate, workspace);
  multiply(some, packed_direction_, direction_bias_.data(), back_, workspace);
  back_.array() *= slope_.array();
  multiply(back_, packed_second_, nullptr, residual_, workspace);
  across_ += residual_.cast<double>().squaredNorm();
  across_rows_ += some.rows();
}

VBP_FUNCTION LinearFit FirstLayerStep::step() const {
  // The residuals' product with the linearised output, over all rows, is the gradient along the direction.
  const double along = gradient_.cwiseProduct(direction_).sum() / static_cast<double>(rows_);
  const double length = across_ > 0.0 ? along * static_cast<double>(across_rows_) / across_ : 0.0;
  const Index in = weight_.cols();
  return {weight_ + length * direction_.leftCols(in), bias_ + length * direction_.col(in)};
}

VBP_FUNCTION MatrixView<float> FirstLayerStep::thinned(const MatrixView<float>& rows) const {
  using Stride = Eigen::OuterStride<>;
  return Eigen::Map<const Matrix<float>, 0, Stride>(rows.data(), (rows.rows() + thinning_ - 1) / thinning_,
                                                    rows.cols(), Stride(thinning_ * rows.outerStride()));
}

VBP_FUNCTION Matrix<double> FirstLayerStep::divide(Matrix<double> numerator, Matrix<double>& matrix,
                             kernels::Workspace<double>& workspace) {
  const double mean = matrix.trace() / static_cast<double>(matrix.rows());
  matrix.diagonal().array() += mean > 0.0 ? kDamping * mean : 1.0;
  Cholesky factor(std::move(matrix), workspace);
  if (!factor.definite()) throw ValueError("the moments of a Gauss-Newton step are not finite");
  return factor.solve(std::move(numerator));
}

VBP_FUNCTION void FirstLayerStep::multiply(const MatrixView<float>& a, const kernels::PackedWeight<float>& weight,
                     const float* bias, Matrix<float>& out, kernels::Workspace<float>& workspace) {
  out.resize(a.rows(), weight.out());
  kernels::gemm<float>(a.data(), a.outerStride(), a.rows(), weight, {.bias = bias}, out.data(), out.cols(),
                       workspace);
}

VBP_FUNCTION void FirstLayerStep::find_slopes(const MatrixView<float>& inputs, const ActivateInPlace& activate,
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

}  // namespace vbp::inline VBP_ABI
