#pragma once
/// Rankings: the order in which a block's neurons are removed, and what each removal costs.

#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

/// A block's neurons, the first to be removed first, and the cost of each removal. Costs must not fall where
/// blocks compete: convex() and running_maximum() make them so.
struct Ranking {
  std::vector<Index> order;
  std::vector<double> cost;
};

/// Scores as rankings: ascending, of equal scores the lower neuron first.
VBP_FUNCTION [[gnu::cold]] std::vector<Ranking> rankings_of(const Scores& scores);

/// Replaces the costs by the slopes of the lower convex hull of their running sum: the least sum at which the
/// neurons are removed in this order when a block may give up several at once. Sums over whole segments of
/// the hull are exact.
VBP_FUNCTION [[gnu::cold]] Ranking convex(Ranking ranking);

/// Rankings of blocks that compete: the costs times their block's weight, then convex().
VBP_FUNCTION [[gnu::cold]] std::vector<Ranking> weighted(std::vector<Ranking> rankings,
                                                         const std::vector<double>& weights);

/// Replaces each cost by the largest so far: a neuron is only removed when all before it were worth removing.
VBP_FUNCTION [[gnu::cold]] Ranking running_maximum(Ranking ranking);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/ranking-inl.hpp"
#endif
