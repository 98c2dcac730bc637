#pragma once
/// SNIP (Lee, Ajanthan, Torr, ICLR 2019): how much the loss feels a weight. It needs gradients, which the
/// caller brings.

#include <cstddef>
#include <ranges>
#include <string>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/score.hpp"

namespace vbp::inline VBP_ABI {

/// sum |g w| over the weights of each neuron of a block: its row of W1, its bias, its column of W2; g is the
/// gradient of the mean loss. `gradient` is shaped like the block. Throws ShapeError where it is not.
template <LinearGeluLinear Block, LinearGeluLinear Gradient>
Vector<double> snip_scores(const Block& block, const Gradient& gradient) {
  using T = typename Block::Scalar;
  using G = typename Gradient::Scalar;
  const MatrixView<T> w1 = block.fc1_weight();
  const MatrixView<T> w2 = block.fc2_weight();
  const VectorView<T> b1 = block.fc1_bias();
  const MatrixView<G> g1 = gradient.fc1_weight();
  const MatrixView<G> g2 = gradient.fc2_weight();
  const VectorView<G> gb = gradient.fc1_bias();
  if (g1.rows() != w1.rows() || g1.cols() != w1.cols() || gb.size() != b1.size() || g2.rows() != w2.rows() ||
      g2.cols() != w2.cols()) {
    throw ShapeError("the gradient of a block of " + std::to_string(w1.rows()) +
                     " neurons is that of one of " + std::to_string(g1.rows()));
  }
  const auto sensitivity = [](const auto& weight, const auto& slope) {
    return weight.template cast<double>().cwiseProduct(slope.template cast<double>()).cwiseAbs();
  };
  return sensitivity(w1, g1).rowwise().sum() + sensitivity(b1, gb) +
         sensitivity(w2, g2).colwise().sum().transpose();
}

/// The same for each block; blocks and gradients are ranges of LinearGeluLinear blocks or of pointers to
/// them. The paper divides all scores by their sum, which no ranking notices.
template <std::ranges::forward_range Blocks, std::ranges::forward_range Gradients>
Scores snip_scores(const Blocks& blocks, const Gradients& gradients) {
  const auto weights = detail::block_pointers(blocks);
  const auto slopes = detail::block_pointers(gradients);
  if (weights.size() != slopes.size()) {
    throw ShapeError("gradients of " + std::to_string(slopes.size()) + " blocks for " +
                     std::to_string(weights.size()));
  }
  Scores scores;
  for (std::size_t b = 0; b < weights.size(); ++b) scores.push_back(snip_scores(*weights[b], *slopes[b]));
  return scores;
}

}  // namespace vbp::inline VBP_ABI
