/// Prunes half of the hidden neurons of two random blocks: the paper's method in twenty lines.

#include <iostream>
#include <vector>

#include <vbp/prune.hpp>

int main() {
  vbp::Random random(1);
  const auto gaussian = [&random](vbp::Index rows, vbp::Index cols) -> vbp::Matrix<float> {
    return vbp::Matrix<float>::NullaryExpr(rows, cols, [&] { return static_cast<float>(random.normal()); });
  };

  std::vector<vbp::Mlp<float>> blocks;
  blocks.push_back({gaussian(256, 32) / 8, gaussian(256, 1), gaussian(8, 256), gaussian(8, 1)});
  blocks.push_back({gaussian(128, 32) / 12, gaussian(128, 1), gaussian(8, 128), gaussian(8, 1)});
  const std::vector<vbp::Mlp<float>> dense = blocks;

  const vbp::Matrix<float> samples = gaussian(4096, 32);
  std::vector<vbp::Statistics<double>> statistics;
  for (const auto& block : blocks) {
    statistics.emplace_back(block.hidden()).observe(block.hidden_activation(samples));
  }

  const vbp::VariancePruner pruner({.rate = 0.5});
  const vbp::PruningPlan plan = pruner.plan(statistics);
  pruner.apply(plan, statistics, blocks);

  const vbp::Matrix<float> unseen = gaussian(1024, 32);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const vbp::Matrix<float> y = dense[b](unseen);
    std::cout << plan.blocks[b].name << ": width " << dense[b].hidden() << " -> " << blocks[b].hidden()
              << ", variance kept " << plan.blocks[b].score_kept << ", relative error "
              << (blocks[b](unseen) - y).norm() / y.norm() << '\n';
  }
}
