// What a user's first program does: watch a block, remove half of its neurons, and use it.

#include <array>

#include <vbp/prune/mlp.hpp>
#include <vbp/prune/pruner.hpp>
#include <vbp/stats/statistics.hpp>

int main() {
  std::array blocks{vbp::Mlp<float>(vbp::Matrix<float>::Random(64, 8), vbp::Vector<float>::Zero(64),
                                    vbp::Matrix<float>::Random(8, 64), vbp::Vector<float>::Zero(8))};
  const vbp::Matrix<float> input = vbp::Matrix<float>::Random(100, 8);
  std::array statistics{vbp::Statistics<double>(64)};
  statistics[0].observe(blocks[0].hidden_activation(input));

  const vbp::PruningPlan plan = vbp::prune(blocks, statistics, {.rate = 0.5});
  return plan.removed() == 32 && blocks[0].hidden() == 32 && blocks[0](input).allFinite() ? 0 : 1;
}
