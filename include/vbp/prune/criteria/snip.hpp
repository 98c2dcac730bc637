#pragma once
/// SNIP (Lee, Ajanthan, Torr, ICLR 2019): how much the loss depends on each neuron's weights. The caller
/// brings the gradients.

#include <cstddef>
#include <ranges>

#include "vbp/core/concepts.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The weights of a block that belong to its hidden neurons: W1 [hidden, in], b1 [hidden], W2 [out, hidden].
template <class T>
struct NeuronWeights {
  const MatrixView<T>& fc1_weight;
  const VectorView<T>& fc1_bias;
  const MatrixView<T>& fc2_weight;
};

/// See snip_scores. Throws ShapeError where the shapes differ.
template <class T, class G>
Vector<double> snip_of(const NeuronWeights<T>& weights, const NeuronWeights<G>& gradients);

}  // namespace detail

/// sum |g w| over the weights of each neuron of a block: its row of W1, its bias, its column of W2, with g
/// the gradient of the mean loss. `gradient` is shaped like the block; throws ShapeError where it is not.
template <LinearGeluLinear Block, LinearGeluLinear Gradient>
Vector<double> snip_scores(const Block& block, const Gradient& gradient) {
  using Weights = detail::NeuronWeights<typename Block::Scalar>;
  using Gradients = detail::NeuronWeights<typename Gradient::Scalar>;
  // Views of what a member returns by value live until the end of this one expression.
  return detail::snip_of(Weights{block.fc1_weight(), block.fc1_bias(), block.fc2_weight()},
                         Gradients{gradient.fc1_weight(), gradient.fc1_bias(), gradient.fc2_weight()});
}

/// The same for each block; blocks and gradients are ranges of LinearGeluLinear blocks or of pointers to
/// them. The paper divides all scores by their sum, which changes no ranking.
template <std::ranges::forward_range Blocks, std::ranges::forward_range Gradients>
Scores snip_scores(const Blocks& blocks, const Gradients& gradients) {
  const auto weights = detail::block_pointers(blocks);
  const auto slopes = detail::block_pointers(gradients);
  detail::require_one_per_block(slopes.size(), "gradients", weights.size());
  Scores scores;
  for (std::size_t b = 0; b < weights.size(); ++b) scores.push_back(snip_scores(*weights[b], *slopes[b]));
  return scores;
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/snip-inl.hpp"
#endif
