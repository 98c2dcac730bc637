#pragma once
/// The criterion of the paper (VBP, section 3.2): the variance of each neuron's activation.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Throws ValueError, naming block b where it has a name, for fewer than two samples.
VBP_FUNCTION [[gnu::cold]] void require_two_samples(const std::vector<std::string>& names, std::size_t b,
                                                    std::int64_t samples);

}  // namespace detail

/// The variance of each neuron's activation, M2 / (n - 1), neither divided by a layer's mean nor weighted.
/// Throws ValueError, naming the block, for fewer than two samples and for a variance that is not finite.
template <StatisticsRange R>
[[gnu::cold]] Scores variance_scores(const R& statistics, const std::vector<std::string>& names) {
  Scores scores(detail::length_of(statistics));
  std::size_t b = 0;
  for (const auto& seen : statistics) {
    detail::require_two_samples(names, b, seen.count());
    scores[b++] = Vector<double>(seen.variance().template cast<double>());
  }
  require_scores(names, scores);
  return scores;
}

/// The same for blocks named blocks.0, blocks.1, ...
template <StatisticsRange R>
[[gnu::cold]] Scores variance_scores(const R& statistics) {
  return variance_scores(statistics, numbered_blocks(detail::length_of(statistics)));
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/variance-inl.hpp"
#endif
