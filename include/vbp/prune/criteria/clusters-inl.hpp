#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/clusters.hpp"
#include "vbp/prune/criteria/output_variance.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Ranking cluster_ranking(const Matrix<double>& covariance, const Matrix<double>& weight) {
  const Index n = covariance.rows();
  if (weight.cols() != n) throw_shape_error({"a covariance and a weight of different widths"});
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
