#pragma once
/// One Gauss-Newton step on the first layer of y = V f(W1 x + b1) + c: what a closed form cannot reach, still
/// without backpropagation through a network. docs/math.md derives it.

#include <algorithm>
#include <cstddef>
#include <utility>

#include <Eigen/Cholesky>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/refit.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp {

/// Inputs [rows, in] of the first layer and targets [rows, out] of the second.
struct FirstLayerBatch {
  const Matrix<float>& inputs;
  const Matrix<float>& targets;
};

/// Call add_gradient for all batches, solve, add_curvature for all batches again, then step.
///
/// The Gauss-Newton matrix is approximated by the Kronecker product (E[s s^T] o V^T V) x E[x x^T], s = f'(u),
/// which takes inputs and slopes as independent; the length of the step is then exact for the linearised
/// output. f is any activation, its slope a central difference: only a direction comes from it.
class FirstLayerStep {
 public:
  /// W1 [hidden, in], b1 [hidden], and the second layer (V, c), which stays.
  FirstLayerStep(const Matrix<double>& weight, const Vector<double>& bias, const LinearFit& second)
      : weight_(weight),
        bias_(bias),
        first_bias_(bias.cast<float>()),
        second_bias_(second.bias.cast<float>()),
        second_(second.weight),
        packed_first_(Matrix<float>(weight.cast<float>())),
        packed_second_(Matrix<float>(second.weight.cast<float>())),
        packed_back_(Matrix<float>(second.weight.transpose().cast<float>())),
        gradient_(Matrix<double>::Zero(weight.rows(), weight.cols() + 1)),
        inputs_(weight.cols()),
        slopes_(weight.rows()) {}

  /// activate(values, count) applies f in place.
  template <class Activate>
  void add_gradient(const FirstLayerBatch& batch, Activate&& activate, kernels::Workspace<float>& workspace) {
    linearise(batch, activate, workspace);
    const Index rows = batch.inputs.rows(), hidden = weight_.rows();
    back_.resize(rows, hidden);
    multiply(residual_, packed_back_, nullptr, back_, workspace);
    back_.array() *= slope_.array();
    ThreadPool& pool = workspace.pool();
    pool.parallel_for((hidden + kPiece - 1) / kPiece, [&](Index piece) {
      const Index first = piece * kPiece, count = std::min(kPiece, hidden - first);
      const auto part = back_.middleCols(first, count);
      gradient_.block(first, 0, count, weight_.cols()) +=
          Matrix<float>(part.transpose() * batch.inputs).cast<double>();
      gradient_.col(weight_.cols()).segment(first, count) +=
          part.colwise().sum().transpose().template cast<double>();
    });
    inputs_.observe(batch.inputs, pool);
    slopes_.observe(slope_, pool);
  }

  /// The direction, from what add_gradient has seen.
  void solve() {
    const Index in = weight_.cols();
    const auto n = static_cast<double>(inputs_.count());
    // Second moments about zero; the bias is an input that is always one.
    Eigen::MatrixXd inputs = Eigen::MatrixXd::Ones(in + 1, in + 1);
    const Vector<double> mean = inputs_.mean();
    inputs.topLeftCorner(in, in) = inputs_.m2() / n + mean * mean.transpose();
    inputs.topRightCorner(in, 1) = mean;
    inputs.bottomLeftCorner(1, in) = mean.transpose();
    const Vector<double> slope = slopes_.mean();
    Eigen::MatrixXd outputs =
        (second_.transpose() * second_).cwiseProduct(slopes_.m2() / n + slope * slope.transpose());
    damp(inputs);
    damp(outputs);
    const Eigen::MatrixXd half = Eigen::LLT<Eigen::MatrixXd>(outputs).solve(gradient_ / n);
    direction_ = Eigen::LLT<Eigen::MatrixXd>(inputs).solve(half.transpose()).transpose();
    packed_direction_ = kernels::PackedWeight<float>(Matrix<float>(direction_.leftCols(in).cast<float>()));
    direction_bias_ = direction_.col(in).cast<float>();
  }

  template <class Activate>
  void add_curvature(const FirstLayerBatch& batch, Activate&& activate,
                     kernels::Workspace<float>& workspace) {
    linearise(batch, activate, workspace);
    multiply(batch.inputs, packed_direction_, direction_bias_.data(), back_, workspace);
    back_.array() *= slope_.array();
    change_.resize(batch.inputs.rows(), second_.rows());
    multiply(back_, packed_second_, nullptr, change_, workspace);
    along_ += change_.cwiseProduct(residual_).template cast<double>().sum();
    across_ += change_.template cast<double>().squaredNorm();
  }

  /// W1 and b1 after the step; unchanged where there is nothing to gain.
  LinearFit step() const {
    const double length = across_ > 0.0 ? along_ / across_ : 0.0;
    const Index in = weight_.cols();
    return {weight_ + length * direction_.leftCols(in), bias_ + length * direction_.col(in)};
  }

 private:
  static constexpr Index kPiece = 64;
  /// Of the mean diagonal: the Kronecker factors leave out what makes some directions long.
  static constexpr double kDamping = 1e-2;

  static void damp(Eigen::MatrixXd& matrix) {
    const double mean = matrix.trace() / static_cast<double>(matrix.rows());
    matrix.diagonal().array() += mean > 0.0 ? kDamping * mean : 1.0;
  }

  static void multiply(const Matrix<float>& a, const kernels::PackedWeight<float>& weight, const float* bias,
                       Matrix<float>& out, kernels::Workspace<float>& workspace) {
    out.resize(a.rows(), weight.out());
    kernels::gemm<float>(a.data(), a.cols(), a.rows(), weight, {.bias = bias}, out.data(), out.cols(),
                         workspace);
  }

  /// The slopes and the residual of a batch.
  template <class Activate>
  void linearise(const FirstLayerBatch& batch, Activate&& activate, kernels::Workspace<float>& workspace) {
    constexpr float step = 1.0F / 32.0F;
    const Index rows = batch.inputs.rows(), hidden = weight_.rows();
    multiply(batch.inputs, packed_first_, first_bias_.data(), hidden_, workspace);
    slope_.resize(rows, hidden);
    lower_.resize(rows, hidden);
    workspace.pool().parallel_for(rows, [&](Index i) {
      slope_.row(i) = hidden_.row(i).array() + step;
      lower_.row(i) = hidden_.row(i).array() - step;
      activate(slope_.row(i).data(), hidden);
      activate(lower_.row(i).data(), hidden);
      activate(hidden_.row(i).data(), hidden);
      slope_.row(i) = (slope_.row(i) - lower_.row(i)) / (2.0F * step);
    });
    multiply(hidden_, packed_second_, second_bias_.data(), residual_, workspace);
    residual_ = batch.targets - residual_;
  }

  const Matrix<double>& weight_;
  const Vector<double>& bias_;
  Vector<float> first_bias_, second_bias_, direction_bias_;
  Matrix<double> second_;
  kernels::PackedWeight<float> packed_first_, packed_second_, packed_back_, packed_direction_;
  Matrix<double> gradient_;
  Covariance<float> inputs_, slopes_;
  Eigen::MatrixXd direction_;
  double along_ = 0.0, across_ = 0.0;
  Matrix<float> hidden_, slope_, lower_, residual_, back_, change_;
};

}  // namespace vbp
