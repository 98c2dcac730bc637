// What a user's first program does: watch a block, take half of its neurons away, and use it.

#include <array>

#include <vbp/vbp.hpp>

int main() {
  vbp::Random random(1);
  const auto matrix = [&random](vbp::Index rows, vbp::Index cols) {
    return vbp::Matrix<float>(vbp::Matrix<float>::NullaryExpr(
        rows, cols, [&random] { return static_cast<float>(random.normal()); }));
  };
  std::array blocks{vbp::Mlp<float>(matrix(64, 8), vbp::Vector<float>::Zero(64), matrix(8, 64),
                                    vbp::Vector<float>::Zero(8))};
  const vbp::Matrix<float> input = matrix(100, 8);
  std::array statistics{vbp::Statistics<double>(64)};
  statistics[0].observe(blocks[0].hidden_activation(input));

  const vbp::PruningPlan plan = vbp::prune(blocks, statistics, {.rate = 0.5});
  return plan.removed() == 32 && blocks[0].hidden() == 32 && blocks[0](input).allFinite() ? 0 : 1;
}
