#pragma once
/// Ranges of the user's blocks and of what was observed of them, whatever they are kept in.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// What the pruner asks of a block's statistics: Statistics<T>, or anything else with a count, a mean and a
/// variance.
template <class S>
concept HasMoments = requires(const S& s) {
  { s.count() } -> std::convertible_to<std::int64_t>;
  { s.features() } -> std::convertible_to<Index>;
  { s.mean().template cast<double>() } -> std::convertible_to<Vector<double>>;
  { s.variance().template cast<double>() } -> std::convertible_to<Vector<double>>;
};

/// What a closed-form refit asks in addition: Covariance<T>, or anything else with a covariance.
template <class S>
concept HasCovariance = HasMoments<S> && requires(const S& s) {
  { s.covariance() } -> std::convertible_to<Matrix<double>>;
};

/// A range of statistics, one per block in the order of the blocks.
template <class R>
concept StatisticsRange =
    std::ranges::forward_range<const R> && HasMoments<std::ranges::range_value_t<const R>>;

/// A range of statistics with covariances, one per block in the order of the blocks.
template <class R>
concept CovarianceRange =
    std::ranges::forward_range<const R> && HasCovariance<std::ranges::range_value_t<const R>>;

/// Names for blocks that have none: blocks.0, blocks.1, ...
VBP_FUNCTION std::vector<std::string> numbered_blocks(std::size_t count);

namespace detail {

/// The block behind an element of a range: the element itself, or what a pointer or a
/// std::reference_wrapper refers to.
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

/// Pointers to the blocks of a range.
template <std::ranges::forward_range R>
auto block_pointers(R& blocks) {
  static_assert(require_linear_gelu_linear<BlockType<R>>());
  std::vector<decltype(std::addressof(block_of(*std::ranges::begin(blocks))))> pointers;
  for (auto& element : blocks) pointers.push_back(std::addressof(block_of(element)));
  return pointers;
}

/// The length of a forward range.
template <class R>
std::size_t length_of(const R& range) {
  return static_cast<std::size_t>(std::ranges::distance(range));
}

/// Throws ShapeError where one range has an entry a block and another has not.
VBP_FUNCTION void require_one_per_block(std::size_t entries, const char* what, std::size_t blocks);

/// The sizes of a block's weights and biases.
struct BlockShape {
  Index fc1_rows = 0, fc1_columns = 0, fc1_bias = 0;
  Index fc2_rows = 0, fc2_columns = 0, fc2_bias = 0;
};

template <LinearGeluLinear B>
BlockShape shape_of(const B& block) {
  using T = typename B::Scalar;
  // A member may return its matrix by value: the references keep it alive.
  const auto& fc1_weight = block.fc1_weight();
  const auto& fc1_bias = block.fc1_bias();
  const auto& fc2_weight = block.fc2_weight();
  const auto& fc2_bias = block.fc2_bias();
  const MatrixView<T> w1 = fc1_weight, w2 = fc2_weight;
  const VectorView<T> b1 = fc1_bias, b2 = fc2_bias;
  return {.fc1_rows = w1.rows(),
          .fc1_columns = w1.cols(),
          .fc1_bias = b1.size(),
          .fc2_rows = w2.rows(),
          .fc2_columns = w2.cols(),
          .fc2_bias = b2.size()};
}

/// The shapes of blocks that pointers lead to.
template <class Pointers>
std::vector<BlockShape> shapes_of(const Pointers& blocks) {
  std::vector<BlockShape> shapes;
  for (const auto* block : blocks) shapes.push_back(shape_of(*block));
  return shapes;
}

/// The hidden width. Throws ShapeError where the sizes do not fit together.
VBP_FUNCTION Index hidden_width_of(const BlockShape& shape);

}  // namespace detail

/// The hidden width of a block. Throws ShapeError where its four shapes do not fit together.
template <LinearGeluLinear B>
Index hidden_width(const B& block) {
  return detail::hidden_width_of(detail::shape_of(block));
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/blocks-inl.hpp"
#endif
