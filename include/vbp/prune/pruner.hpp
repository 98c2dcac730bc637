#pragma once
/// Variance-Based Pruning (Berisha, Mehnert, Condurache, arXiv 2507.12988): from statistics to a plan, from a
/// plan to smaller blocks.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/budget/options.hpp"
#include "vbp/prune/budget/widths.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/score.hpp"
#include "vbp/prune/plan.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Throws ShapeError or ValueError, naming the block, for rankings that no plan can be made from.
inline void require_rankings(const std::vector<std::string>& names, const std::vector<Ranking>& rankings) {
  Scores costs;
  for (const Ranking& ranking : rankings) {
    costs.emplace_back(
        Eigen::Map<const Vector<double>>(ranking.cost.data(), static_cast<Index>(ranking.cost.size())));
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

/// The plan in which each block loses the first `removed` neurons of its ranking.
inline PruningPlan plan_of_removals(const std::vector<std::string>& names,
                                    const std::vector<Ranking>& rankings, const std::vector<Index>& removed) {
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

}  // namespace detail

/// The plan that removes neurons in each ranking's order, those of least cost over all blocks, within the
/// options' budget. Of equal costs the lower block's goes first. Throws ShapeError or ValueError, naming the
/// block or the constraint, for bad names, rankings, options and budgets that cannot be met.
inline PruningPlan plan_from_rankings(const std::vector<std::string>& names,
                                      const std::vector<Ranking>& rankings, const PrunerOptions& options) {
  detail::require_rankings(names, rankings);
  std::vector<std::vector<double>> ascending;
  for (const Ranking& ranking : rankings) ascending.push_back(ranking.cost);
  PruningPlan plan = detail::plan_of_removals(names, rankings, choose_removals(names, ascending, options));
  plan.requested = requested_removals(options, plan.total());
  return plan;
}

/// The plan that removes the lowest scores within the options' budget, whatever criterion scored.
/// Equal scores go from the lower block first, then the lower neuron. Throws as plan_from_rankings does.
inline PruningPlan plan_from_scores(const std::vector<std::string>& names, const Scores& scores,
                                    const PrunerOptions& options) {
  require_scores(names, scores);
  return plan_from_rankings(names, rankings_of(scores), options);
}

namespace detail {

template <class Pointers>
void require_plan_fits(const PruningPlan& plan, const Pointers& blocks) {
  if (plan.blocks.size() != blocks.size()) {
    throw ShapeError("a plan for " + std::to_string(plan.blocks.size()) + " blocks cannot be applied to " +
                     std::to_string(blocks.size()));
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const PruningPlan::Block& planned = plan.blocks[b];
    Index width = 0;
    try {
      width = hidden_width(*blocks[b]);
      require_indices(planned.kept, width);
    } catch (const ShapeError& error) {
      throw ShapeError(planned.name + ": " + error.what());
    } catch (const ValueError& error) {
      throw ValueError(planned.name + ": " + error.what());
    }
    if (width != planned.width) {
      throw ShapeError(planned.name + ": the plan is for " + std::to_string(planned.width) +
                       " hidden neurons, the block has " + std::to_string(width));
    }
    if (planned.kept.empty()) throw ValueError(planned.name + ": the plan keeps no neuron");
  }
}

}  // namespace detail

/// Cuts the blocks to the plan's neurons and compensates nothing. blocks is a range of LinearGeluLinear
/// blocks or of pointers to them, in the plan's order. Everything is checked before the first block changes;
/// throws ShapeError or ValueError, naming the block.
template <std::ranges::forward_range Blocks>
void shrink_blocks(const PruningPlan& plan, Blocks&& blocks) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, pointers);
  for (std::size_t b = 0; b < pointers.size(); ++b) shrink(*pointers[b], plan.blocks[b].kept);
}

/// Cuts the blocks to the plan's neurons and folds the means of the others into the second bias: the
/// mean-shift compensation. The statistics come in the order of the blocks, whatever criterion made the plan.
/// Everything is checked before the first block changes; throws ShapeError or ValueError, naming the block.
template <StatisticsRange R, std::ranges::forward_range Blocks>
void fold_and_shrink_blocks(const PruningPlan& plan, const R& statistics, Blocks&& blocks) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, pointers);
  if (static_cast<std::size_t>(std::ranges::distance(statistics)) != pointers.size()) {
    throw ShapeError("statistics of " + std::to_string(std::ranges::distance(statistics)) + " blocks for " +
                     std::to_string(pointers.size()));
  }
  using T = typename detail::BlockType<std::remove_reference_t<Blocks>>::Scalar;
  std::vector<Vector<T>> biases;
  auto next = std::ranges::begin(statistics);
  for (std::size_t b = 0; b < pointers.size(); ++b, ++next) {
    const PruningPlan::Block& planned = plan.blocks[b];
    const auto& seen = *next;
    if (seen.features() != planned.width) {
      throw ShapeError(planned.name + ": statistics of " + std::to_string(seen.features()) +
                       " features for " + std::to_string(planned.width) + " hidden neurons");
    }
    if (seen.count() < 1) throw ValueError(planned.name + ": the statistics have seen no sample");
    try {
      biases.push_back(
          detail::folded_bias(*pointers[b], seen.mean(), complement(planned.kept, planned.width)));
    } catch (const ValueError& error) {
      throw ValueError(planned.name + ": " + error.what());
    }
    if (!biases.back().allFinite()) throw ValueError(planned.name + ": the folded bias is not finite");
  }
  for (std::size_t b = 0; b < pointers.size(); ++b) {
    detail::keep(*pointers[b], plan.blocks[b].kept, std::move(biases[b]));
  }
}

/// The paper's method: neurons ranked by the variance of their activation, their means folded.
/// Plans are values, so that they can be looked at before they are applied.
class VariancePruner {
 public:
  /// Throws ValueError for options that make no sense for any network.
  explicit VariancePruner(PrunerOptions options) : options_(std::move(options)) { require_options(options_); }

  const PrunerOptions& options() const noexcept { return options_; }

  /// Which neurons stay, by the statistics of the blocks' hidden activations. Throws as plan_from_scores and
  /// variance_scores do.
  template <StatisticsRange R>
  PruningPlan plan(const std::vector<std::string>& names, const R& statistics) const {
    return plan_from_scores(names, variance_scores(statistics, names), options_);
  }

  /// The same for blocks named blocks.0, blocks.1, ...
  template <StatisticsRange R>
  PruningPlan plan(const R& statistics) const {
    return plan(numbered_blocks(static_cast<std::size_t>(std::ranges::distance(statistics))), statistics);
  }

  /// Carries out a plan on a range of blocks, or of pointers to them: fold_and_shrink_blocks, or without mean
  /// shift shrink_blocks.
  template <StatisticsRange R, std::ranges::forward_range Blocks>
  void apply(const PruningPlan& plan, const R& statistics, Blocks&& blocks) const {
    if (options_.mean_shift) {
      fold_and_shrink_blocks(plan, statistics, blocks);
    } else {
      shrink_blocks(plan, blocks);
    }
  }

 private:
  PrunerOptions options_;
};

/// Plans and applies in one step; returns what was done.
template <std::ranges::forward_range Blocks, StatisticsRange R>
PruningPlan prune(Blocks&& blocks, const R& statistics, const PrunerOptions& options) {
  const VariancePruner pruner(options);
  PruningPlan plan = pruner.plan(statistics);
  pruner.apply(plan, statistics, blocks);
  return plan;
}

}  // namespace vbp::inline VBP_ABI
