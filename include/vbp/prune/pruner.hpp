#pragma once
/// Variance-Based Pruning (Berisha, Mehnert, Condurache, arXiv 2507.12988): from statistics to a plan, from a
/// plan to smaller blocks.

#include <ranges>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/stats/statistics.hpp"

namespace vbp::inline VBP_ABI {

/// The paper's method: ranks neurons by the variance of their activation and folds the means of the pruned
/// ones. A plan is a value that can be looked at before it is applied.
class VariancePruner {
 public:
  /// Throws ValueError for options that make no sense for any network.
  VBP_FUNCTION explicit VariancePruner(PrunerOptions options);

  const PrunerOptions& options() const noexcept { return options_; }

  /// Which neurons stay, by the statistics of the blocks' hidden activations. Throws as plan_from_scores and
  /// variance_scores do.
  template <StatisticsRange R>
  [[gnu::cold]] PruningPlan plan(const std::vector<std::string>& names, const R& statistics) const {
    return plan_from_scores(names, variance_scores(statistics, names), options_);
  }

  /// The same for blocks named blocks.0, blocks.1, ...
  template <StatisticsRange R>
  [[gnu::cold]] PruningPlan plan(const R& statistics) const {
    return plan(numbered_blocks(detail::length_of(statistics)), statistics);
  }

  /// Carries out a plan on a range of blocks, or of pointers to them: fold_and_shrink_blocks, or without mean
  /// shift shrink_blocks.
  template <StatisticsRange R, std::ranges::forward_range Blocks>
  [[gnu::cold]] void apply(const PruningPlan& plan, const R& statistics, Blocks&& blocks) const {
    if (options_.mean_shift) {
      fold_and_shrink_blocks(plan, statistics, blocks);
    } else {
      shrink_blocks(plan, blocks);
    }
  }

 private:
  PrunerOptions options_;
};

/// Plans and applies in one step; returns what was done. `names` has one name per block, which `exclude`
/// refers to. Throws as VariancePruner's plan and apply do; the blocks are then unchanged.
template <std::ranges::forward_range Blocks, StatisticsRange R>
PruningPlan prune(Blocks&& blocks, const std::vector<std::string>& names, const R& statistics,
                  const PrunerOptions& options) {
  const VariancePruner pruner(options);
  PruningPlan plan = pruner.plan(names, statistics);
  pruner.apply(plan, statistics, blocks);
  return plan;
}

/// The same for blocks named blocks.0, blocks.1, ...
template <std::ranges::forward_range Blocks, StatisticsRange R>
PruningPlan prune(Blocks&& blocks, const R& statistics, const PrunerOptions& options) {
  return prune(blocks, numbered_blocks(detail::length_of(statistics)), statistics, options);
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/pruner-inl.hpp"
#endif
