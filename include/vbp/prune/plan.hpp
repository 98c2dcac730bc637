#pragma once
/// What a pruning will do, to be looked at before it is done.
///
/// Planning is done once and takes milliseconds. Its functions are cold, which tells the compiler to make
/// them small rather than fast, so that they cost less to compile.

#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

/// The neurons that each block keeps, in the order of the blocks.
struct PruningPlan {
  struct Block {
    std::string name;
    /// Hidden width before.
    Index width = 0;
    /// Neurons that stay, ascending.
    std::vector<Index> kept = {};
    /// Share of the block's summed score that stays, in [0, 1]: the variance kept, where variance ranked.
    double score_kept = 1.0;

    Index kept_width() const noexcept { return static_cast<Index>(kept.size()); }
    Index removed() const noexcept { return width - kept_width(); }
    bool operator==(const Block&) const = default;
  };

  std::vector<Block> blocks = {};
  /// Neurons that the options asked to remove; removed() is less only where a width multiple forbids it.
  Index requested = 0;

  /// Hidden neurons before, kept and removed, over all blocks.
  Index total() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks) sum += block.width;
    return sum;
  }
  Index kept() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks) sum += block.kept_width();
    return sum;
  }
  Index removed() const noexcept { return total() - kept(); }
  bool operator==(const PruningPlan&) const = default;
};

/// The plan that removes neurons in each ranking's order, those of least cost over all blocks, within the
/// options' budget. Of equal costs the lower block's goes first. Throws ShapeError or ValueError, naming the
/// block or the constraint, for bad names, rankings and options and for budgets that cannot be met.
VBP_FUNCTION [[gnu::cold]] PruningPlan plan_from_rankings(const std::vector<std::string>& names,
                                                          const std::vector<Ranking>& rankings,
                                                          const PrunerOptions& options);

/// The plan that removes the lowest scores within the options' budget, whatever criterion gave them. Of equal
/// scores the lower block's go first, then the lower neuron's. Throws as plan_from_rankings does.
VBP_FUNCTION [[gnu::cold]] PruningPlan plan_from_scores(const std::vector<std::string>& names,
                                                        const Scores& scores, const PrunerOptions& options);

namespace detail {

/// Throws ShapeError or ValueError, naming the block, for rankings that no plan can be made from.
VBP_FUNCTION [[gnu::cold]] void require_rankings(const std::vector<std::string>& names,
                                                 const std::vector<Ranking>& rankings);

/// The plan in which each block loses the first `removed` neurons of its ranking.
VBP_FUNCTION [[gnu::cold]] PruningPlan plan_of_removals(const std::vector<std::string>& names,
                                                        const std::vector<Ranking>& rankings,
                                                        const std::vector<Index>& removed);

/// Throws ShapeError or ValueError, naming the block, unless the plan is for as many blocks, of these shapes,
/// and keeps a neuron of each.
VBP_FUNCTION [[gnu::cold]] void require_plan_fits(const PruningPlan& plan,
                                                  const std::vector<BlockShape>& blocks);

}  // namespace detail

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/plan-inl.hpp"
#endif
