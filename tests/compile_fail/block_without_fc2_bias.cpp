// A block that lacks fc2_bias() is refused by name.
// expect: vbp: the block needs fc2_bias
#include <span>
#include <utility>

#include "vbp/prune/compensate/fold.hpp"

namespace {

/// Models LinearGeluLinear but for the second bias.
struct Block {
  using Scalar = float;
  vbp::Matrix<float> w1, w2;
  vbp::Vector<float> b1, b2;

  const vbp::Matrix<float>& fc1_weight() const { return w1; }
  const vbp::Vector<float>& fc1_bias() const { return b1; }
  const vbp::Matrix<float>& fc2_weight() const { return w2; }
#ifndef VBP_MUST_FAIL
  const vbp::Vector<float>& fc2_bias() const {
    return b2;
  }
#endif
  void set_weights(vbp::Matrix<float> fc1_weight, vbp::Vector<float> fc1_bias, vbp::Matrix<float> fc2_weight,
                   vbp::Vector<float> fc2_bias) {
    w1 = std::move(fc1_weight);
    b1 = std::move(fc1_bias);
    w2 = std::move(fc2_weight);
    b2 = std::move(fc2_bias);
  }
};

}  // namespace

/// Instantiates the pruning of one block.
void use(Block& block, std::span<const vbp::Index> kept) {
  vbp::shrink(block, kept);
}
