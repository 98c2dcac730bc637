#pragma once
/// The order in which a block gives up its neurons, and what each costs.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/score.hpp"

namespace vbp::inline VBP_ABI {

/// A block's neurons, the first to go first, and the cost of each step. Where blocks compete, costs must not
/// fall: convex() and running_maximum() see to that.
struct Ranking {
  std::vector<Index> order;
  std::vector<double> cost;
};

/// Scores as rankings: ascending, of equal scores the lower neuron first.
inline std::vector<Ranking> rankings_of(const Scores& scores) {
  std::vector<Ranking> rankings;
  for (const Vector<double>& block : scores) {
    Ranking& ranking = rankings.emplace_back();
    ranking.order.resize(static_cast<std::size_t>(block.size()));
    std::iota(ranking.order.begin(), ranking.order.end(), Index{0});
    std::stable_sort(ranking.order.begin(), ranking.order.end(),
                     [&](Index i, Index j) { return block(i) < block(j); });
    for (const Index neuron : ranking.order) ranking.cost.push_back(block(neuron));
  }
  return rankings;
}

/// The slopes of the lower convex hull of the cumulative cost: the least sum at which neurons go in this
/// order, when a block may also give up several at once. Sums over whole segments of the hull are exact.
inline Ranking convex(Ranking ranking) {
  std::vector<double> sum{0.0};
  for (const double cost : ranking.cost) sum.push_back(sum.back() + cost);
  std::vector<std::size_t> hull;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    // Drops a corner that lies on or above the line from the one before it to the new point.
    while (hull.size() > 1) {
      const std::size_t a = hull[hull.size() - 2], b = hull.back();
      if ((sum[b] - sum[a]) * static_cast<double>(i - b) < (sum[i] - sum[b]) * static_cast<double>(b - a)) {
        break;
      }
      hull.pop_back();
    }
    hull.push_back(i);
  }
  for (std::size_t s = 1; s < hull.size(); ++s) {
    const double slope = (sum[hull[s]] - sum[hull[s - 1]]) / static_cast<double>(hull[s] - hull[s - 1]);
    std::fill(ranking.cost.begin() + static_cast<std::ptrdiff_t>(hull[s - 1]),
              ranking.cost.begin() + static_cast<std::ptrdiff_t>(hull[s]), slope);
  }
  // Slopes that are equal but for rounding must not fall either.
  for (std::size_t i = 1; i < ranking.cost.size(); ++i) {
    ranking.cost[i] = std::max(ranking.cost[i], ranking.cost[i - 1]);
  }
  return ranking;
}

/// Rankings whose blocks compete: costs times their block's weight, by the slopes of convex().
inline std::vector<Ranking> weighted(std::vector<Ranking> rankings, const std::vector<double>& weights) {
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    for (double& cost : rankings[b].cost) cost *= weights[b];
    rankings[b] = convex(std::move(rankings[b]));
  }
  return rankings;
}

/// The largest cost so far: a neuron goes only when all that had to go before it were worth it.
inline Ranking running_maximum(Ranking ranking) {
  for (std::size_t i = 1; i < ranking.cost.size(); ++i) {
    ranking.cost[i] = std::max(ranking.cost[i], ranking.cost[i - 1]);
  }
  return ranking;
}

}  // namespace vbp::inline VBP_ABI
