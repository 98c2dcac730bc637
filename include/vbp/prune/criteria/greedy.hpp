#pragma once
/// Greedy selection: the neuron goes whose removal costs least after the others have been refitted.

#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/criteria/ranking.hpp"

namespace vbp::inline VBP_ABI {

/// Options of the backward elimination. lambda as in RefitOptions; the inverse is computed anew when a
/// probe finds it off by more than drift, relative.
struct GreedyOptions {
  double lambda = 1e-3;
  double drift = 1e-8;
};

namespace detail {

/// The inverse covariance of the neurons that are left and their refitted weights, under removals.
///
/// Removing j turns the inverse A into A - a a^T / a_j, a = A[:, j], and the weights K (a row a neuron) into
/// K - a k_j^T / a_j. Removals are collected as A - U U^T and K - U V^T and carried out together, which turns
/// vector work into matrix products.
class Elimination {
 public:
  Elimination(const Matrix<double>& shrunk, const Matrix<double>& weight, double drift)
      : shrunk_(shrunk), weight_(weight), drift_(drift) {
    left_.resize(static_cast<std::size_t>(shrunk.rows()));
    std::iota(left_.begin(), left_.end(), Index{0});
    invert();
  }

  Index size() const noexcept { return static_cast<Index>(left_.size()); }

  /// Removes the cheapest min(kBlock, size()) neurons, one after the other, and appends them to the ranking.
  void remove_block(Ranking& ranking) {
    const Index n = size();
    const Index steps = std::min(kBlock, n);
    Eigen::MatrixXd u(n, steps), v(weights_.cols(), steps);
    Eigen::VectorXd diagonal = inverse_.diagonal();
    Eigen::VectorXd norm = weights_.rowwise().squaredNorm();
    std::vector<bool> gone(static_cast<std::size_t>(n), false);
    for (Index step = 0; step < steps; ++step) {
      Index best = -1;
      for (Index j = 0; j < n; ++j) {
        if (gone[static_cast<std::size_t>(j)]) continue;
        if (best < 0 || norm(j) * diagonal(best) < norm(best) * diagonal(j)) best = j;
      }
      const auto done_u = u.leftCols(step);
      const auto done_v = v.leftCols(step);
      const Eigen::VectorXd column = inverse_.col(best) - done_u * done_u.row(best).transpose();
      const Eigen::VectorXd row = weights_.row(best).transpose() - done_v * done_u.row(best).transpose();
      const double pivot = column(best);
      if (!(pivot > 0.0)) throw ValueError("the inverse covariance lost its definiteness; raise lambda");
      ranking.order.push_back(left_[static_cast<std::size_t>(best)]);
      ranking.cost.push_back(row.squaredNorm() / pivot);
      u.col(step) = column / std::sqrt(pivot);
      v.col(step) = row / std::sqrt(pivot);
      const Eigen::VectorXd along =
          weights_ * v.col(step) - done_u * (done_v.transpose() * v.col(step)).eval();
      const auto moved = u.col(step).array();
      norm.array() += moved * (moved * v.col(step).squaredNorm() - 2.0 * along.array());
      norm = norm.cwiseMax(0.0);
      diagonal.array() -= moved.square();
      gone[static_cast<std::size_t>(best)] = true;
    }
    compact(u, v, gone);
  }

 private:
  static constexpr Index kBlock = 64;

  void invert() {
    Cholesky factor(gather(shrunk_, left_, left_), workspace_);
    if (!factor.definite()) throw ValueError("the covariance is singular; raise lambda");
    inverse_ = factor.solve(Matrix<double>::Identity(size(), size()));
    Matrix<double> rows(size(), shrunk_.cols());
    for (Index i = 0; i < size(); ++i) rows.row(i) = shrunk_.row(left_[static_cast<std::size_t>(i)]);
    weights_ = factor.solve(weight_ * rows.transpose()).transpose();
  }

  void compact(const Eigen::MatrixXd& u, const Eigen::MatrixXd& v, const std::vector<bool>& gone) {
    std::vector<Index> stay, neurons;
    for (Index j = 0; j < size(); ++j) {
      if (gone[static_cast<std::size_t>(j)]) continue;
      stay.push_back(j);
      neurons.push_back(left_[static_cast<std::size_t>(j)]);
    }
    const Eigen::MatrixXd kept_u = u(stay, Eigen::all);
    inverse_ = inverse_(stay, stay).eval();
    weights_ = weights_(stay, Eigen::all).eval();
    left_ = std::move(neurons);
    if (left_.empty()) return;
    inverse_.noalias() -= kept_u * kept_u.transpose();
    weights_.noalias() -= kept_u * v.transpose();
    if (drifted()) invert();
  }

  /// Whether inverse times covariance leaves a probe of ones.
  bool drifted() const {
    Eigen::VectorXd image(size());
    for (Index i = 0; i < size(); ++i) {
      double sum = 0.0;
      for (const Index j : left_) sum += shrunk_(left_[static_cast<std::size_t>(i)], j);
      image(i) = sum;
    }
    const Eigen::VectorXd probe = inverse_ * image;
    return !((probe.array() - 1.0).matrix().norm() <= drift_ * std::sqrt(static_cast<double>(size())));
  }

  const Matrix<double>& shrunk_;
  const Matrix<double>& weight_;
  double drift_;
  kernels::Workspace<double> workspace_{1};
  std::vector<Index> left_;
  Eigen::MatrixXd inverse_;
  Eigen::MatrixXd weights_;  ///< [left, out]
};

}  // namespace detail

/// Backward elimination of all neurons of a block: each step removes the j with the least ||w_j||^2 /
/// [C_SS^-1]_jj, w_j its refitted column, which is what the expected squared output error rises by when the
/// others are refitted (Hassibi and Stork 1993, for columns). covariance [hidden, hidden], weight [out,
/// hidden], its rows scaled as the errors of the outputs count. Time is of the order hidden^3, memory 4
/// hidden^2 doubles. Throws ShapeError or ValueError.
inline Ranking backward_elimination(Matrix<double> covariance, const Matrix<double>& weight,
                                    const GreedyOptions& options = {}) {
  const Index hidden = covariance.rows();
  if (covariance.cols() != hidden || weight.cols() != hidden || hidden == 0) {
    throw ShapeError("a covariance of [" + std::to_string(hidden) + ", " + std::to_string(covariance.cols()) +
                     "] for a weight of [" + std::to_string(weight.rows()) + ", " +
                     std::to_string(weight.cols()) + "]");
  }
  if (!covariance.allFinite() || !weight.allFinite()) {
    throw ValueError("a covariance or weight of the elimination is not finite");
  }
  if (!(options.lambda > 0.0)) throw ValueError("the elimination needs a positive lambda");
  // Features that do not vary at all are as good as any other to begin with.
  const double scale = covariance.trace() / static_cast<double>(hidden);
  covariance.diagonal().array() += scale > 0.0 ? options.lambda * scale : 1.0;
  Ranking ranking;
  detail::Elimination elimination(covariance, weight, options.drift);
  while (elimination.size() > 0) elimination.remove_block(ranking);
  return ranking;
}

}  // namespace vbp::inline VBP_ABI
