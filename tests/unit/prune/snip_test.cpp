#include "vbp/prune/criteria/snip.hpp"

#include <vector>

#include "support/catch.hpp"
#include "vbp/prune/mlp.hpp"

namespace {

using vbp::Matrix;
using vbp::Vector;

/// A block of two neurons between one input and two outputs.
vbp::Mlp<float> block_of(std::vector<float> w1, std::vector<float> b1, std::vector<float> w2) {
  return {Eigen::Map<Matrix<float>>(w1.data(), 2, 1), Eigen::Map<Vector<float>>(b1.data(), 2),
          Eigen::Map<Matrix<float>>(w2.data(), 2, 2), Vector<float>::Constant(2, 100.0F)};
}

}  // namespace

TEST_CASE("SNIP sums |g w| over a neuron's row, bias and column", "[snip]") {
  // Signs that differ must not cancel, and the bias of fc2 belongs to no neuron.
  const std::vector blocks{block_of({1, -2}, {3, 0}, {5, 6, -7, 8})};
  const std::vector gradients{block_of({-1, 2}, {0.5F, 9}, {-2, 0, 1, 0.25F})};
  const vbp::Scores scores = vbp::snip_scores(blocks, gradients);
  REQUIRE(scores.size() == 1);
  CHECK(scores[0](0) == 1.0 + 1.5 + 10.0 + 7.0);
  CHECK(scores[0](1) == 4.0 + 0.0 + 0.0 + 2.0);
}

TEST_CASE("SNIP refuses gradients of another shape", "[snip]") {
  const auto block = block_of({1, 1}, {1, 1}, {1, 1, 1, 1});
  const vbp::Mlp<float> narrow(Matrix<float>::Ones(1, 1), Vector<float>::Ones(1), Matrix<float>::Ones(2, 1),
                               Vector<float>::Ones(2));
  CHECK_THROWS_AS(vbp::snip_scores(block, narrow), vbp::ShapeError);
  CHECK_THROWS_AS(vbp::snip_scores(std::vector{block, block}, std::vector{block}), vbp::ShapeError);
}
