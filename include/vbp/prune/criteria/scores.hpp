#pragma once
/// Scores of neurons, which every criterion but the greedy ones gives. The lowest score is removed first.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// One vector of scores per block, [hidden] each.
using Scores = std::vector<Vector<double>>;

/// Throws ShapeError unless there is one name per block, and ValueError, naming block and neuron, for a
/// block without neurons and for a score that is NaN or infinite.
VBP_FUNCTION [[gnu::cold]] void require_scores(const std::vector<std::string>& names, const Scores& scores);

namespace detail {

/// Throws as require_scores does: for the scores of one block, and for the number of names.
VBP_FUNCTION [[gnu::cold]] void require_block_scores(const std::string& name, const double* scores,
                                                     std::size_t count);
VBP_FUNCTION [[gnu::cold]] void require_names_of_scores(std::size_t names, std::size_t blocks);

}  // namespace detail

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/scores-inl.hpp"
#endif
