#pragma once
/// How much is pruned, and where.

#include <optional>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// Where neurons compete: over all blocks (the paper's choice), or within each block, which then loses its
/// proportional share.
enum class Scope { global, block };

/// Options of a pruning. Exactly one of rate and kept says how many hidden neurons go; the others say which
/// may go. Counts are in neurons over all blocks, excluded blocks included.
struct PrunerOptions {
  /// Share of all hidden neurons to remove, in [0, 1): floor(rate * total) go.
  std::optional<double> rate = std::nullopt;
  /// Instead of rate: how many hidden neurons remain in all.
  std::optional<Index> kept = std::nullopt;

  Scope scope = Scope::global;

  /// No block is cut below this width (at least 1); a block that is not wider keeps everything.
  Index min_width = 16;
  /// No block stays wider than this.
  std::optional<Index> max_width = std::nullopt;
  /// A block that is cut is cut to a multiple of this. Multiples of the kernels' panel width run fastest.
  Index multiple = 1;
  /// Names of blocks that keep everything, whatever the other options say.
  std::vector<std::string> exclude = {};

  /// Fold the means of the pruned neurons into the second bias when the plan is applied.
  bool mean_shift = true;
};

}  // namespace vbp::inline VBP_ABI
