#pragma once
/// What a pruning will do, to be looked at before it is done.

#include <string>
#include <vector>

#include "vbp/core/types.hpp"

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

}  // namespace vbp::inline VBP_ABI
