#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "vbp/prune/criteria/ranking.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::vector<Ranking> rankings_of(const Scores& scores) {
  std::vector<Ranking> rankings(scores.size());
  for (std::size_t b = 0; b < scores.size(); ++b) {
    const double* const score = scores[b].data();
    std::vector<Index>& order = rankings[b].order;
    order.resize(static_cast<std::size_t>(scores[b].size()));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
    const auto before = [score](Index i, Index j) {
      if (score[i] < score[j] || score[j] < score[i]) return score[i] < score[j];
      const bool is_number = score[i] == score[i], other_is_number = score[j] == score[j];
      return is_number == other_is_number ? i < j : is_number;  // NaN last
    };
    // The order is the same as std::sort's, which is more code to compile.
    std::make_heap(order.begin(), order.end(), before);
    std::sort_heap(order.begin(), order.end(), before);
    rankings[b].cost.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) rankings[b].cost[i] = score[order[i]];
  }
  return rankings;
}

namespace detail {

/// Indices of the corners of the lower convex hull of the points (i, heights[i]).
VBP_FUNCTION std::vector<std::size_t> lower_hull(const std::vector<double>& heights) {
  std::vector<std::size_t> hull;
  for (std::size_t i = 0; i < heights.size(); ++i) {
    // Drops a corner that lies on or above the line from the one before it to the new point.
    while (hull.size() > 1) {
      const std::size_t a = hull[hull.size() - 2], b = hull.back();
      const double left = (heights[b] - heights[a]) * static_cast<double>(i - b);
      const double right = (heights[i] - heights[b]) * static_cast<double>(b - a);
      if (left < right) break;
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

}  // namespace detail

VBP_FUNCTION Ranking convex(Ranking ranking) {
  std::vector<double> sum{0.0};
  for (const double cost : ranking.cost) sum.push_back(sum.back() + cost);
  const std::vector<std::size_t> hull = detail::lower_hull(sum);
  for (std::size_t s = 1; s < hull.size(); ++s) {
    const double slope = (sum[hull[s]] - sum[hull[s - 1]]) / static_cast<double>(hull[s] - hull[s - 1]);
    std::fill(ranking.cost.begin() + static_cast<std::ptrdiff_t>(hull[s - 1]),
              ranking.cost.begin() + static_cast<std::ptrdiff_t>(hull[s]), slope);
  }
  // Slopes that are equal but for rounding must not fall either.
  return running_maximum(std::move(ranking));
}

VBP_FUNCTION std::vector<Ranking> weighted(std::vector<Ranking> rankings,
                                           const std::vector<double>& weights) {
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    for (double& cost : rankings[b].cost) cost *= weights[b];
    rankings[b] = convex(std::move(rankings[b]));
  }
  return rankings;
}

VBP_FUNCTION Ranking running_maximum(Ranking ranking) {
  for (std::size_t i = 1; i < ranking.cost.size(); ++i) {
    ranking.cost[i] = std::max(ranking.cost[i], ranking.cost[i - 1]);
  }
  return ranking;
}

}  // namespace vbp::inline VBP_ABI
