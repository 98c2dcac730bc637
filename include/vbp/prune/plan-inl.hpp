#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/removals.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/selection.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION PruningPlan plan_from_rankings(const std::vector<std::string>& names,
                                            const std::vector<Ranking>& rankings,
                                            const PrunerOptions& options) {
  detail::require_rankings(names, rankings);
  std::vector<std::vector<double>> ascending;
  for (const Ranking& ranking : rankings) ascending.push_back(ranking.cost);
  PruningPlan plan = detail::plan_of_removals(names, rankings, choose_removals(names, ascending, options));
  plan.requested = requested_removals(options, plan.total());
  return plan;
}

VBP_FUNCTION PruningPlan plan_from_scores(const std::vector<std::string>& names, const Scores& scores,
                                          const PrunerOptions& options) {
  require_scores(names, scores);
  return plan_from_rankings(names, rankings_of(scores), options);
}

namespace detail {

VBP_FUNCTION void require_rankings(const std::vector<std::string>& names,
                                   const std::vector<Ranking>& rankings) {
  Scores costs;
  for (const Ranking& ranking : rankings) {
    Vector<double>& block = costs.emplace_back(static_cast<Index>(ranking.cost.size()));
    std::copy(ranking.cost.begin(), ranking.cost.end(), block.data());
  }
  require_scores(names, costs);
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    if (rankings[b].order.size() != rankings[b].cost.size()) {
      throw ShapeError(names[b] + ": a ranking of " + std::to_string(rankings[b].order.size()) +
                       " neurons and " + std::to_string(rankings[b].cost.size()) + " costs");
    }
    if (!std::is_sorted(rankings[b].cost.begin(), rankings[b].cost.end())) {
      throw ValueError(names[b] + ": the costs of a ranking fall");
    }
  }
}

VBP_FUNCTION PruningPlan plan_of_removals(const std::vector<std::string>& names,
                                          const std::vector<Ranking>& rankings,
                                          const std::vector<Index>& removed) {
  PruningPlan plan;
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    const auto& [order, cost] = rankings[b];
    PruningPlan::Block block{.name = names[b], .width = static_cast<Index>(order.size())};
    block.kept.assign(order.begin() + removed[b], order.end());
    std::sort(block.kept.begin(), block.kept.end());
    require_indices(block.kept, block.width);
    const auto cut = cost.begin() + removed[b];
    const double gone = std::accumulate(cost.begin(), cut, 0.0);
    const double stays = std::accumulate(cut, cost.end(), 0.0);
    if (gone + stays > 0.0) block.score_kept = stays / (gone + stays);
    plan.blocks.push_back(std::move(block));
  }
  plan.requested = plan.removed();
  return plan;
}

VBP_FUNCTION void require_plan_fits(const PruningPlan& plan, const std::vector<BlockShape>& blocks) {
  if (plan.blocks.size() != blocks.size()) {
    throw ShapeError("a plan for " + std::to_string(plan.blocks.size()) + " blocks cannot be applied to " +
                     std::to_string(blocks.size()));
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const PruningPlan::Block& planned = plan.blocks[b];
    const Index width = with_context(planned.name, [&] {
      const Index hidden = hidden_width_of(blocks[b]);
      require_indices(planned.kept, hidden);
      return hidden;
    });
    if (width != planned.width) {
      throw ShapeError(planned.name + ": the plan is for " + std::to_string(planned.width) +
                       " hidden neurons, the block has " + std::to_string(width));
    }
    if (planned.kept.empty()) throw ValueError(planned.name + ": the plan keeps no neuron");
  }
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
