#pragma once
/// What ranks the neurons: the variance of their activation (VBP, section 3.2) and the criteria it is
/// compared with. A lower score is removed first.

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/stats/statistics.hpp"

namespace vbp::inline VBP_ABI {

/// One vector of scores per block, [hidden] each.
using Scores = std::vector<Vector<double>>;

/// What the pruner asks of a block's statistics: Statistics<T>, or anything with its moments.
template <class S>
concept HasMoments = requires(const S& s) {
  { s.count() } -> std::convertible_to<std::int64_t>;
  { s.features() } -> std::convertible_to<Index>;
  { s.mean().template cast<double>() } -> std::convertible_to<Vector<double>>;
  { s.variance().template cast<double>() } -> std::convertible_to<Vector<double>>;
};
static_assert(HasMoments<Statistics<float>> && HasMoments<Statistics<double>>);

/// Any range of statistics, one per block in the order of the blocks.
template <class R>
concept StatisticsRange =
    std::ranges::forward_range<const R> && HasMoments<std::ranges::range_value_t<const R>>;

namespace detail {

/// The block behind an element of a range: the element itself, or what a pointer or a
/// std::reference_wrapper leads to.
template <class E>
auto& block_of(E& element) {
  if constexpr (requires { *element; }) {
    return *element;
  } else if constexpr (requires { element.get().fc1_weight(); }) {
    return element.get();
  } else {
    return element;
  }
}

template <class R>
using BlockType = std::remove_cvref_t<decltype(block_of(*std::ranges::begin(std::declval<R&>())))>;

/// Pointers to the blocks of a range, so that the rest need not know how the user keeps them.
template <std::ranges::forward_range R>
auto block_pointers(R& blocks) {
  static_assert(require_linear_gelu_linear<BlockType<R>>());
  std::vector<decltype(std::addressof(block_of(*std::ranges::begin(blocks))))> pointers;
  for (auto& element : blocks) pointers.push_back(std::addressof(block_of(element)));
  return pointers;
}

}  // namespace detail

/// Names for blocks that have none: blocks.0, blocks.1, ...
inline std::vector<std::string> numbered_blocks(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t b = 0; b < count; ++b) names.push_back("blocks." + std::to_string(b));
  return names;
}

/// Throws ShapeError unless there is one name per block, and ValueError for a block without neurons or a
/// score that is NaN or infinite, naming block and neuron.
inline void require_scores(const std::vector<std::string>& names, const Scores& scores) {
  if (names.size() != scores.size()) {
    throw ShapeError(std::to_string(names.size()) + " block names for the scores of " +
                     std::to_string(scores.size()) + " blocks");
  }
  for (std::size_t b = 0; b < scores.size(); ++b) {
    if (scores[b].size() == 0) throw ValueError(names[b] + ": the block has no hidden neurons");
    for (Index j = 0; j < scores[b].size(); ++j) {
      if (!std::isfinite(scores[b](j))) {
        throw ValueError(names[b] + ": the score of neuron " + std::to_string(j) + " is not finite");
      }
    }
  }
}

/// The variance of each neuron's activation, M2 / (n - 1), raw: neither weights nor layers normalise it.
/// Throws ValueError, naming the block, for fewer than two samples and for a variance that is not finite.
template <StatisticsRange R>
Scores variance_scores(const R& statistics, const std::vector<std::string>& names) {
  Scores scores;
  for (const auto& s : statistics) {
    if (s.count() < 2 && scores.size() < names.size()) {
      throw ValueError(names[scores.size()] + ": a variance needs two samples, there are " +
                       std::to_string(s.count()));
    }
    scores.emplace_back(s.variance().template cast<double>());
  }
  require_scores(names, scores);
  return scores;
}

/// The same for blocks named blocks.0, blocks.1, ...
template <StatisticsRange R>
Scores variance_scores(const R& statistics) {
  return variance_scores(statistics,
                         numbered_blocks(static_cast<std::size_t>(std::ranges::distance(statistics))));
}

/// ||W1 row||_2 of each neuron of each block: the weight magnitude, which has seen no data.
/// blocks is a range of LinearGeluLinear blocks or of pointers to them.
template <std::ranges::forward_range Blocks>
Scores magnitude_scores(const Blocks& blocks) {
  Scores scores;
  for (const auto* block : detail::block_pointers(blocks)) {
    using T = typename std::remove_cvref_t<decltype(*block)>::Scalar;
    const auto& fc1_weight = block->fc1_weight();
    const MatrixView<T> w1 = fc1_weight;
    scores.emplace_back(w1.template cast<double>().rowwise().norm());
  }
  return scores;
}

/// Uniform random scores: the floor that every criterion must beat. The same seed gives the same scores on
/// every platform.
inline Scores random_scores(const std::vector<Index>& widths, std::uint64_t seed) {
  Random random(seed);
  Scores scores;
  for (const Index width : widths) {
    Vector<double> block(width);
    for (double& score : block) score = random.uniform();
    scores.push_back(std::move(block));
  }
  return scores;
}

}  // namespace vbp::inline VBP_ABI
