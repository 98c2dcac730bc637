#pragma once
/// The magnitude criterion: the norm of each neuron's weights, which needs no data.

#include <ranges>
#include <type_traits>

#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

/// The Euclidean norm of each row of W1 [hidden, in], computed in double.
VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<float>& fc1_weight);
VBP_FUNCTION Vector<double> magnitude_scores(const MatrixView<double>& fc1_weight);

/// The same for each block; blocks is a range of LinearGeluLinear blocks or of pointers to them.
template <std::ranges::forward_range Blocks>
Scores magnitude_scores(const Blocks& blocks) {
  Scores scores;
  for (const auto* block : detail::block_pointers(blocks)) {
    using T = typename std::remove_cvref_t<decltype(*block)>::Scalar;
    // A member may return its matrix by value: the reference keeps it alive.
    const auto& fc1_weight = block->fc1_weight();
    scores.push_back(magnitude_scores(MatrixView<T>(fc1_weight)));
  }
  return scores;
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/magnitude-inl.hpp"
#endif
