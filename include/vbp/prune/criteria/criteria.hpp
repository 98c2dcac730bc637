#pragma once
/// The criteria that selection is compared with, as scores: a lower one is removed first.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <ranges>
#include <string>
#include <vector>

#include <Eigen/Eigenvalues>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/score.hpp"

namespace vbp::inline VBP_ABI {

/// s2_j ||W2[:, j]||^2: the exact expected output error of removing neuron j alone after mean shift (FLAP's
/// WIFV, NCI). variance [hidden], weight [out, hidden], its rows scaled as the errors of the outputs count.
inline Vector<double> output_variance_scores(const Vector<double>& variance, const Matrix<double>& weight) {
  if (weight.cols() != variance.size()) {
    throw ShapeError("a weight of " + std::to_string(weight.cols()) + " columns for " +
                     std::to_string(variance.size()) + " variances");
  }
  return variance.cwiseProduct(weight.colwise().squaredNorm().transpose());
}

/// DVBP: (1 - p) diag(C) + p diag(D), D the part of C whose eigenvalues exceed the Marchenko-Pastur edge s2
/// (1 + sqrt(d / N))^2 of noise, s2 the median eigenvalue. N counts images, since the tokens of one are
/// correlated; `share` p is the pruning rate.
inline Vector<double> denoised_scores(const Matrix<double>& covariance, std::int64_t images, double share) {
  if (images < 1) throw ValueError("a denoised covariance needs at least one image");
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> spectrum(covariance);
  const Eigen::VectorXd& values = spectrum.eigenvalues();  // ascending
  const Index d = values.size();
  const double ratio = std::sqrt(static_cast<double>(d) / static_cast<double>(images));
  const double edge = std::max(0.0, values(d / 2)) * (1.0 + ratio) * (1.0 + ratio);
  Vector<double> denoised = Vector<double>::Zero(d);
  for (Index i = 0; i < d; ++i) {
    if (values(i) > edge) denoised += values(i) * spectrum.eigenvectors().col(i).cwiseAbs2();
  }
  return (1.0 - share) * covariance.diagonal() + share * denoised;
}

/// Clusters of similar neurons, after CUP: again and again the neuron goes that its nearest remaining
/// neighbour represents best, at s2_j (1 - rho^2) ||W2[:, j]||^2 with rho their correlation.
inline Ranking cluster_ranking(const Matrix<double>& covariance, const Matrix<double>& weight) {
  const Index n = covariance.rows();
  if (weight.cols() != n) throw ShapeError("a covariance and a weight of different widths");
  const Vector<double> whole = output_variance_scores(covariance.diagonal(), weight);
  std::vector<Index> left(static_cast<std::size_t>(n));
  for (Index j = 0; j < n; ++j) left[static_cast<std::size_t>(j)] = j;
  std::vector<double> cost(static_cast<std::size_t>(n));
  std::vector<Index> nearest(static_cast<std::size_t>(n), -1);
  const auto represent = [&](Index j) {
    double best = 0.0;
    Index representative = -1;
    for (const Index i : left) {
      const double scale = covariance(i, i) * covariance(j, j);
      if (i == j || !(scale > 0.0)) continue;
      const double square = covariance(i, j) * covariance(i, j) / scale;
      if (representative < 0 || square > best) {
        best = square;
        representative = i;
      }
    }
    cost[static_cast<std::size_t>(j)] = whole(j) * std::max(0.0, 1.0 - best);
    nearest[static_cast<std::size_t>(j)] = representative;
  };
  for (const Index j : left) represent(j);
  Ranking ranking;
  while (!left.empty()) {
    const auto least = std::min_element(left.begin(), left.end(), [&](Index a, Index b) {
      return cost[static_cast<std::size_t>(a)] < cost[static_cast<std::size_t>(b)];
    });
    const Index gone = *least;
    ranking.order.push_back(gone);
    ranking.cost.push_back(cost[static_cast<std::size_t>(gone)]);
    left.erase(least);
    for (const Index j : left) {
      if (nearest[static_cast<std::size_t>(j)] == gone) represent(j);
    }
  }
  return ranking;
}

}  // namespace vbp::inline VBP_ABI
