#pragma once

#include <utility>

#include "vbp/core/message.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"

namespace vbp::inline VBP_ABI {

template <std::floating_point T>
FirstLayerStep<T>::FirstLayerStep(const Matrix<Double>& weight, const Vector<Double>& bias,
                                  const LinearFit& second, Index thinning)
    : weight_(weight),
      bias_(bias),
      first_bias_(bias.template cast<T>()),
      second_bias_(second.bias.template cast<T>()),
      second_(second.weight),
      thinning_(thinning),
      packed_first_(Matrix<T>(weight.template cast<T>())),
      packed_second_(Matrix<T>(second.weight.template cast<T>())),
      packed_back_(Matrix<T>(second.weight.transpose().template cast<T>())),
      gradient_(Matrix<Double>::Zero(weight.rows(), weight.cols() + 1)),
      inputs_(weight.cols()),
      slopes_(weight.rows()) {}

template <std::floating_point T>
void FirstLayerStep<T>::add_gradient(const Matrix<T>& inputs, const Matrix<T>& targets,
                                     const ActivateInPlace& activate, kernels::Workspace<T>& workspace) {
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
  gradient_.leftCols(in) += batch_weight_.template cast<Double>();
  gradient_.col(in) += batch_bias_.template cast<Double>();
  rows_ += rows;
  inputs_.observe(thinned(inputs), workspace.pool());
  slopes_.observe(thinned(slope_), workspace.pool());
}

template <std::floating_point T>
void FirstLayerStep<T>::solve(kernels::Workspace<Double>& workspace) {
  const Index in = weight_.cols();
  const auto n = static_cast<double>(inputs_.count());
  // Second moments about zero; the bias is an input that is always one.
  Matrix<Double> inputs = Matrix<Double>::Ones(in + 1, in + 1);
  const Vector<Double> mean = inputs_.mean();
  inputs.topLeftCorner(in, in) = inputs_.m2() / n + mean * mean.transpose();
  inputs.topRightCorner(in, 1) = mean;
  inputs.bottomLeftCorner(1, in) = mean.transpose();
  const Matrix<Double> back = second_.transpose();
  Matrix<Double> outputs(back.rows(), back.rows());
  kernels::gemm<Double>(back.data(), back.cols(), back.rows(), kernels::PackedWeight<Double>(back), {},
                        outputs.data(), outputs.cols(), workspace);
  const Vector<Double> slope = slopes_.mean();
  outputs = outputs.cwiseProduct(slopes_.m2() / n + slope * slope.transpose()).eval();
  const Matrix<Double> half =
      divide((gradient_ / static_cast<double>(rows_)).transpose(), outputs, workspace);
  direction_ = divide(half.transpose(), inputs, workspace);
  packed_direction_ = kernels::PackedWeight<T>(Matrix<T>(direction_.leftCols(in).template cast<T>()));
  direction_bias_ = direction_.col(in).template cast<T>();
}

template <std::floating_point T>
void FirstLayerStep<T>::add_curvature(const MatrixView<T>& inputs, const ActivateInPlace& activate,
                                      kernels::Workspace<T>& workspace) {
  const MatrixView<T> some = thinned(inputs);
  find_slopes(some, activate, workspace);
  multiply(some, packed_direction_, direction_bias_.data(), back_, workspace);
  back_.array() *= slope_.array();
  multiply(back_, packed_second_, nullptr, residual_, workspace);
  across_ += residual_.template cast<Double>().squaredNorm();
  across_rows_ += some.rows();
}

template <std::floating_point T>
LinearFit FirstLayerStep<T>::step() const {
  // The residuals' product with the linearised output, over all rows, is the gradient along the direction.
  const double along = gradient_.cwiseProduct(direction_).sum() / static_cast<double>(rows_);
  const double length = across_ > 0.0 ? along * static_cast<double>(across_rows_) / across_ : 0.0;
  const Index in = weight_.cols();
  return {weight_ + length * direction_.leftCols(in), bias_ + length * direction_.col(in)};
}

template <std::floating_point T>
MatrixView<T> FirstLayerStep<T>::thinned(const MatrixView<T>& rows) const {
  using Stride = Eigen::OuterStride<>;
  return Eigen::Map<const Matrix<T>, 0, Stride>(rows.data(), (rows.rows() + thinning_ - 1) / thinning_,
                                                rows.cols(), Stride(thinning_ * rows.outerStride()));
}

template <std::floating_point T>
Matrix<detail::DoubleFor<T>> FirstLayerStep<T>::divide(Matrix<Double> numerator, Matrix<Double>& matrix,
                                                       kernels::Workspace<Double>& workspace) {
  const double mean = matrix.trace() / static_cast<double>(matrix.rows());
  matrix.diagonal().array() += mean > 0.0 ? kDamping * mean : 1.0;
  Cholesky<Double> factor(std::move(matrix), workspace);
  if (!factor.definite()) throw_value_error({"the moments of a Gauss-Newton step are not finite"});
  return factor.solve(std::move(numerator));
}

template <std::floating_point T>
void FirstLayerStep<T>::multiply(const MatrixView<T>& a, const kernels::PackedWeight<T>& weight,
                                 const T* bias, Matrix<T>& out, kernels::Workspace<T>& workspace) {
  out.resize(a.rows(), weight.out());
  kernels::gemm<T>(a.data(), a.outerStride(), a.rows(), weight, {.bias = bias}, out.data(), out.cols(),
                   workspace);
}

template <std::floating_point T>
void FirstLayerStep<T>::find_slopes(const MatrixView<T>& inputs, const ActivateInPlace& activate,
                                    kernels::Workspace<T>& workspace) {
  constexpr T step = T(1) / T(32);
  const Index rows = inputs.rows(), hidden = weight_.rows();
  multiply(inputs, packed_first_, first_bias_.data(), hidden_, workspace);
  slope_.resize(rows, hidden);
  lower_.resize(rows, hidden);
  workspace.pool().parallel_for(rows, [&](Index i) {
    slope_.row(i) = hidden_.row(i).array() + step;
    lower_.row(i) = hidden_.row(i).array() - step;
    activate(slope_.row(i).data(), hidden);
    activate(lower_.row(i).data(), hidden);
    slope_.row(i) = (slope_.row(i) - lower_.row(i)) / (T(2) * step);
  });
}

}  // namespace vbp::inline VBP_ABI
