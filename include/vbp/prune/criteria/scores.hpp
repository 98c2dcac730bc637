#pragma once
/// Scores of neurons, which every criterion but the greedy ones gives. The lowest score is removed first.

#include <string>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// One vector of scores per block, [hidden] each.
using Scores = std::vector<Vector<double>>;

/// Throws ShapeError unless there is one name per block, and ValueError, naming block and neuron, for a
/// block without neurons and for a score that is NaN or infinite.
VBP_FUNCTION [[gnu::cold]] void require_scores(const std::vector<std::string>& names, const Scores& scores);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/scores-inl.hpp"
#endif
