#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/removals.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/selection.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION PruningPlan plan_from_rankings(const std::vector<std::string>& names,
                                            const std::vector<Ranking>& rankings,
                                            const PrunerOptions& options) {
  detail::require_rankings(names, rankings);
  std::vector<std::vector<double>> ascending(rankings.size());
  for (std::size_t b = 0; b < rankings.size(); ++b) ascending[b] = rankings[b].cost;
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
  require_names_of_scores(names.size(), rankings.size());
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    require_block_scores(names[b], rankings[b].cost.data(), rankings[b].cost.size());
  }
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    if (rankings[b].order.size() != rankings[b].cost.size()) {
      throw_shape_error({names[b], ": a ranking of ", rankings[b].order.size(), " neurons and ",
                         rankings[b].cost.size(), " costs"});
    }
    if (!std::is_sorted(rankings[b].cost.begin(), rankings[b].cost.end())) {
      throw_value_error({names[b], ": the costs of a ranking fall"});
    }
  }
}

/// The neurons of a ranking of all but the first `removed`, ascending. Throws ValueError for a neuron that
/// the block does not have and for one that is ranked twice.
VBP_FUNCTION std::vector<Index> kept_neurons(const std::vector<Index>& order, std::size_t removed) {
  std::vector<char> stays(order.size(), 0);
  for (std::size_t i = removed; i < order.size(); ++i) {
    const Index neuron = order[i];
    require_indices({&neuron, 1}, static_cast<Index>(order.size()));
    char& mark = stays[static_cast<std::size_t>(neuron)];
    if (mark != 0) throw_value_error({"a ranking holds neuron ", neuron, " twice"});
    mark = 1;
  }
  std::vector<Index> kept;
  kept.reserve(order.size() - removed);
  for (std::size_t i = 0; i < stays.size(); ++i) {
    if (stays[i] != 0) kept.push_back(static_cast<Index>(i));
  }
  return kept;
}

VBP_FUNCTION PruningPlan plan_of_removals(const std::vector<std::string>& names,
                                          const std::vector<Ranking>& rankings,
                                          const std::vector<Index>& removed) {
  PruningPlan plan;
  plan.blocks.resize(rankings.size());
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    const std::vector<double>& cost = rankings[b].cost;
    PruningPlan::Block& block = plan.blocks[b];
    block.name = names[b];
    block.width = static_cast<Index>(cost.size());
    block.kept = kept_neurons(rankings[b].order, static_cast<std::size_t>(removed[b]));
    const auto cut = cost.begin() + removed[b];
    const double gone = std::accumulate(cost.begin(), cut, 0.0);
    const double stays = std::accumulate(cut, cost.end(), 0.0);
    if (gone + stays > 0.0) block.score_kept = stays / (gone + stays);
  }
  plan.requested = plan.removed();
  return plan;
}

VBP_FUNCTION void require_plan_fits(const PruningPlan& plan, const std::vector<BlockShape>& blocks) {
  if (plan.blocks.size() != blocks.size()) {
    throw_shape_error({"a plan for ", plan.blocks.size(), " blocks cannot be applied to ", blocks.size()});
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const PruningPlan::Block& planned = plan.blocks[b];
    const Index width = with_context(planned.name, [&] {
      const Index hidden = hidden_width_of(blocks[b]);
      require_indices(planned.kept, hidden);
      return hidden;
    });
    if (width != planned.width) {
      throw_shape_error(
          {planned.name, ": the plan is for ", planned.width, " hidden neurons, the block has ", width});
    }
    if (planned.kept.empty()) throw_value_error({planned.name, ": the plan keeps no neuron"});
  }
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
