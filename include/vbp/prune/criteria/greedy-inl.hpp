#pragma once

#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/selection.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The inverse covariance of the neurons that are left and their refitted weights, updated by removals.
///
/// Removing j turns the inverse A into A - a a^T / a_j, a = A[:, j], and the weights K (a row a neuron) into
/// K - a k_j^T / a_j. Removals are collected as A - U U^T and K - U V^T and carried out together, so that the
/// work is matrix products. T is double; a template, so that it is compiled only where it is used.
template <class T>
class Elimination {
 public:
  /// `shrunk`: the covariance with lambda on its diagonal. Both matrices have to outlive this.
  Elimination(const Matrix<T>& shrunk, const Matrix<T>& weight, double drift, Context context)
      : shrunk_(shrunk), weight_(weight), drift_(drift), workspace_(std::move(context)) {
    left_.resize(static_cast<std::size_t>(shrunk.rows()));
    std::iota(left_.begin(), left_.end(), Index{0});
    invert();
  }

  Index size() const noexcept { return static_cast<Index>(left_.size()); }

  /// Removes the cheapest min(kBlock, size()) neurons, one after the other, and appends them to the ranking.
  void remove_block(Ranking& ranking) {
    const Index n = size();
    const Index steps = std::min(kBlock, n);
    Columns u(n, steps), v(weights_.cols(), steps);
    Vector<T> diagonal = inverse_.diagonal();
    Vector<T> norm = weights_.rowwise().squaredNorm();
    std::vector<bool> gone(static_cast<std::size_t>(n), false);
    for (Index step = 0; step < steps; ++step) {
      Index best = -1;
      for (Index j = 0; j < n; ++j) {
        if (gone[static_cast<std::size_t>(j)]) continue;
        if (best < 0 || norm(j) * diagonal(best) < norm(best) * diagonal(j)) best = j;
      }
      const auto done_u = u.leftCols(step);
      const auto done_v = v.leftCols(step);
      const Vector<T> column = inverse_.col(best) - done_u * done_u.row(best).transpose();
      const Vector<T> row = weights_.row(best).transpose() - done_v * done_u.row(best).transpose();
      const double pivot = column(best);
      if (!(pivot > 0.0)) throw_value_error({"the inverse covariance lost its definiteness; raise lambda"});
      ranking.order.push_back(left_[static_cast<std::size_t>(best)]);
      ranking.cost.push_back(row.squaredNorm() / pivot);
      u.col(step) = column / std::sqrt(pivot);
      v.col(step) = row / std::sqrt(pivot);
      const Vector<T> along = weights_ * v.col(step) - done_u * (done_v.transpose() * v.col(step)).eval();
      const auto moved = u.col(step).array();
      norm.array() += moved * (moved * v.col(step).squaredNorm() - 2.0 * along.array());
      norm = norm.cwiseMax(0.0);
      diagonal.array() -= moved.square();
      gone[static_cast<std::size_t>(best)] = true;
    }
    compact(u, v, gone);
  }

 private:
  using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

  static constexpr Index kBlock = 64;

  void invert() {
    Cholesky<T> factor(submatrix(shrunk_, left_, left_), workspace_);
    if (!factor.definite()) throw_value_error({"the covariance is singular; raise lambda"});
    inverse_ = factor.solve(Matrix<T>::Identity(size(), size()));
    Matrix<T> rows(size(), shrunk_.cols());
    for (Index i = 0; i < size(); ++i) rows.row(i) = shrunk_.row(left_[static_cast<std::size_t>(i)]);
    weights_ = factor.solve(weight_ * rows.transpose()).transpose();
  }

  void compact(const Columns& u, const Columns& v, const std::vector<bool>& gone) {
    std::vector<Index> stay, neurons;
    for (Index j = 0; j < size(); ++j) {
      if (gone[static_cast<std::size_t>(j)]) continue;
      stay.push_back(j);
      neurons.push_back(left_[static_cast<std::size_t>(j)]);
    }
    const Columns kept_u = u(stay, Eigen::all);
    inverse_ = inverse_(stay, stay).eval();
    weights_ = weights_(stay, Eigen::all).eval();
    left_ = std::move(neurons);
    if (left_.empty()) return;
    inverse_.noalias() -= kept_u * kept_u.transpose();
    weights_.noalias() -= kept_u * v.transpose();
    if (drifted()) invert();
  }

  /// Whether inverse times covariance no longer reproduces a vector of ones.
  bool drifted() const {
    Vector<T> image(size());
    for (Index i = 0; i < size(); ++i) {
      double sum = 0.0;
      for (const Index j : left_) sum += shrunk_(left_[static_cast<std::size_t>(i)], j);
      image(i) = sum;
    }
    const Vector<T> probe = inverse_ * image;
    return !((probe.array() - 1.0).matrix().norm() <= drift_ * std::sqrt(static_cast<double>(size())));
  }

  const Matrix<T>& shrunk_;
  const Matrix<T>& weight_;
  double drift_;
  kernels::Workspace<T> workspace_;
  std::vector<Index> left_;
  Columns inverse_;
  Columns weights_;  ///< [left, out]
};

/// See backward_elimination; T is double.
template <class T>
Ranking eliminate(Matrix<T> covariance, const Matrix<T>& weight, const GreedyOptions& options,
                  Context context) {
  const Index hidden = covariance.rows();
  if (covariance.cols() != hidden || weight.cols() != hidden || hidden == 0) {
    throw_shape_error({"a covariance of [", hidden, ", ", covariance.cols(), "] for a weight of [",
                       weight.rows(), ", ", weight.cols(), "]"});
  }
  if (!covariance.allFinite() || !weight.allFinite()) {
    throw_value_error({"a covariance or weight of the elimination is not finite"});
  }
  if (!(options.lambda > 0.0)) throw_value_error({"the elimination needs a positive lambda"});
  // Where no feature varies, every order is as good as any other.
  const double scale = covariance.trace() / static_cast<double>(hidden);
  covariance.diagonal().array() += scale > 0.0 ? options.lambda * scale : 1.0;
  Ranking ranking;
  Elimination<T> elimination(covariance, weight, options.drift, std::move(context));
  while (elimination.size() > 0) elimination.remove_block(ranking);
  return ranking;
}

}  // namespace detail

VBP_FUNCTION Ranking backward_elimination(Matrix<double> covariance, const Matrix<double>& weight,
                                          const GreedyOptions& options, Context context) {
  return detail::eliminate<double>(std::move(covariance), weight, options, std::move(context));
}

}  // namespace vbp::inline VBP_ABI
