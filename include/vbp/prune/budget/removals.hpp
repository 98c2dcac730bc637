#pragma once
/// How many neurons each block loses: the exact optimum under a budget, for each scope and width multiple.

#include <optional>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/pruner_options.hpp"

namespace vbp::inline VBP_ABI {

/// One way to cut a block: how many neurons it loses, and what that costs.
struct Cut {
  Index removed = 0;
  double cost = 0.0;
};

/// Scope global, multiple 1: removes the `removals` lowest scores of all blocks within each block's
/// allowance. ascending[b] holds block b's scores in ascending order; of equal scores the lower block's goes
/// first. Exact, since taking the cheapest next never violates a block's own order. Returns the count per
/// block; the caller has checked that the removals are reachable.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> remove_lowest(const std::vector<std::vector<double>>& ascending,
                                                            const std::vector<Allowance>& blocks,
                                                            Index removals);

/// Scope block, multiple 1: each block loses the share f * width, clamped to its allowance, with the one f
/// for which the shares sum to `removals` (water-filling). Shares are rounded down, then those of largest
/// remainder (of equal ones the lower block's) up until the sum is exact. All in integers; the caller has
/// checked that the removals are reachable.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> remove_evenly(const std::vector<Allowance>& blocks,
                                                            Index removals);

/// One cut per block, by dynamic programming over (blocks, neurons removed): the sum removed is the largest
/// reachable that is not above `removals`, and the summed cost the least for that sum. Of equal costs the
/// lower block loses more. cuts[b] ascends in `removed`. Returns nothing where even the smallest cuts remove
/// too many.
VBP_FUNCTION [[gnu::cold]] std::optional<std::vector<Index>> cheapest_cuts(
    const std::vector<std::vector<Cut>>& cuts, Index removals);

/// The counts, ascending, that a block may lose so that it keeps everything or a multiple of `multiple`.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> removals_to_multiple(const Allowance& block, Index multiple);

/// The same under the options' width multiple, for the block called `name`. Throws ValueError where no count
/// is allowed.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> possible_removals(const std::string& name,
                                                                const Allowance& block,
                                                                const PrunerOptions& options);

/// How many neurons each block loses under the options; ascending[b] holds block b's scores, lowest first.
///
/// With multiple 1 the sum is exactly requested_removals. With a larger multiple it is the largest reachable
/// count that is not above that, with the least summed score (scope global) or the least squared distance
/// from the even shares (scope block). Throws ValueError where the other constraints make the budget
/// impossible.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> choose_removals(
    const std::vector<std::string>& names, const std::vector<std::vector<double>>& ascending,
    const PrunerOptions& options);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/budget/removals-inl.hpp"
#endif
