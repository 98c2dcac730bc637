#pragma once
/// Ranges of the user's blocks and of what was observed of them, whatever they are kept in.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <ranges>
#include <string>
#include <tuple>
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
VBP_FUNCTION [[gnu::cold]] std::vector<std::string> numbered_blocks(std::size_t count);

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
[[gnu::cold]] auto block_pointers(R& blocks) {
  static_assert(require_linear_gelu_linear<BlockType<R>>());
  using Pointer = decltype(std::addressof(block_of(*std::ranges::begin(blocks))));
  std::vector<Pointer> pointers(static_cast<std::size_t>(std::ranges::distance(blocks)));
  auto next = pointers.begin();
  for (auto& element : blocks) *next++ = std::addressof(block_of(element));
  return pointers;
}

/// The length of a forward range.
template <class R>
std::size_t length_of(const R& range) {
  return static_cast<std::size_t>(std::ranges::distance(range));
}

/// Throws ShapeError where one range has an entry a block and another has not.
VBP_FUNCTION [[gnu::cold]] void require_one_per_block(std::size_t entries, const char* what,
                                                      std::size_t blocks);

/// The sizes of a block's weights and biases.
struct BlockShape {
  Index fc1_rows = 0, fc1_columns = 0, fc1_bias = 0;
  Index fc2_rows = 0, fc2_columns = 0, fc2_bias = 0;
};

/// Rows and columns of a matrix, or of whatever else is convertible to a view of one.
template <class T, class M>
std::pair<Index, Index> size_of(const M& matrix) {
  if constexpr (requires { Index{matrix.rows()} + Index{matrix.cols()}; }) {
    return {matrix.rows(), matrix.cols()};
  } else {
    const MatrixView<T> view = matrix;
    return {view.rows(), view.cols()};
  }
}

template <LinearGeluLinear B>
[[gnu::cold]] BlockShape shape_of(const B& block) {
  using T = typename B::Scalar;
  BlockShape shape;
  std::tie(shape.fc1_rows, shape.fc1_columns) = size_of<T>(block.fc1_weight());
  std::tie(shape.fc2_rows, shape.fc2_columns) = size_of<T>(block.fc2_weight());
  shape.fc1_bias = VectorView<T>(block.fc1_bias()).size();
  shape.fc2_bias = VectorView<T>(block.fc2_bias()).size();
  return shape;
}

/// The shapes of blocks that pointers lead to.
template <class Pointers>
[[gnu::cold]] std::vector<BlockShape> shapes_of(const Pointers& blocks) {
  std::vector<BlockShape> shapes(blocks.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) shapes[b] = shape_of(std::as_const(*blocks[b]));
  return shapes;
}

/// The hidden width. Throws ShapeError where the sizes do not fit together.
VBP_FUNCTION [[gnu::cold]] Index hidden_width_of(const BlockShape& shape);

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
