#pragma once
/// How many neurons must go, how many each block can spare, and whether the two fit.

#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/budget/pruner_options.hpp"

namespace vbp::inline VBP_ABI {

/// How many neurons one block may lose under minimum width, maximum width and exclusion: `least` to `most`. A
/// width multiple restricts it further.
struct Allowance {
  Index width = 0;
  Index least = 0;
  Index most = 0;
};

/// Throws ValueError for options that make no sense for any network.
VBP_FUNCTION [[gnu::cold]] void require_options(const PrunerOptions& options);

/// floor(share * total), share in [0, 1], where the share is meant as a decimal number: 0.55 of 20 is 11,
/// although 0.55 * 20 is less in binary.
VBP_FUNCTION [[gnu::cold]] Index whole_share(double share, Index total);

/// What keeps blocks from becoming narrower, for messages: "the minimum width 16 and the excluded blocks".
VBP_FUNCTION [[gnu::cold]] std::string narrowest_constraints(const PrunerOptions& options);

/// How many of `total` hidden neurons go: floor(rate * total), or total - kept. Throws as require_options
/// does, and ValueError where more are to be kept than there are.
VBP_FUNCTION [[gnu::cold]] Index requested_removals(const PrunerOptions& options, Index total);

/// What each block may lose. Throws ShapeError unless there is one name per block, and ValueError for names
/// that repeat and for excluded names that no block has.
VBP_FUNCTION [[gnu::cold]] std::vector<Allowance> allowances(const std::vector<std::string>& names,
                                                             const std::vector<Index>& widths,
                                                             const PrunerOptions& options);

/// Throws ValueError, naming the constraint, where the blocks cannot lose exactly so many neurons.
VBP_FUNCTION [[gnu::cold]] void require_reachable(Index removals, const std::vector<Allowance>& blocks,
                                                  const PrunerOptions& options);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/budget/allowance-inl.hpp"
#endif
