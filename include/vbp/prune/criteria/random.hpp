#pragma once
/// Random selection: what every criterion must beat.

#include <cstdint>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

/// Uniform random scores in [0, 1), one block of each width. The same seed gives the same scores on every
/// platform.
VBP_FUNCTION Scores random_scores(const std::vector<Index>& widths, std::uint64_t seed);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/random-inl.hpp"
#endif
