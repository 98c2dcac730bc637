#include "vbp/models/swin/steps.hpp"

#include <string>
#include <vector>

#include "support/swin.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::StepKind;
using vbp::SwinConfig;
using vbp::SwinInference;
using vbp::SwinSteps;
using vbp::SwinTransformer;
using vbp_test::draw_swin;
using vbp_test::gaussian;
using vbp_test::golden_swin;
using vbp_test::golden_swin_tensor;
using vbp_test::relative_distance;
using vbp_test::small_swin;

static_assert(vbp::ResidualNetwork<vbp::SwinSteps<float>>);
static_assert(vbp::ResidualNetwork<vbp::SwinSteps<double>>);

/// A model, images and what calibration gathers from them.
struct Calibrated {
  SwinTransformer<float> model;
  Matrix<float> images;
  std::vector<vbp::Statistics<double>> statistics;
  std::vector<vbp::Covariance<float>> covariances;
  Matrix<float> logits;

  explicit Calibrated(const SwinConfig& config, Index count)
      : model(draw_swin<float>(config, 11)),
        images(gaussian<float>(12, count, config.image_elements())),
        statistics(vbp::hidden_statistics(config)),
        covariances(vbp::hidden_covariances(config)) {
    SwinInference<float> inference(model, vbp::Context(2));
    logits = vbp::observe_hidden<float>(inference, images, statistics, covariances);
  }

  std::vector<std::string> names() const { return vbp::block_names(model.config); }

  Matrix<float> run(SwinTransformer<float>& pruned) const {
    return SwinInference<float>(pruned, vbp::Context(1))(images);
  }
};

vbp::PruningPlan half_of(const Calibrated& from) {
  return vbp::plan_from_scores(from.names(), vbp::variance_scores(from.statistics, from.names()),
                               {.rate = 0.5});
}

}  // namespace

TEST_CASE("the steps of a Swin Transformer lead through its stages to its logits", "[swin][network]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    SwinTransformer<float> model = golden_swin(name);
    SwinSteps<float> network(model, vbp::Context(1));
    REQUIRE(network.steps() == 12);
    Matrix<float> stream = network.start(golden_swin_tensor(name, "inputs").cast<float>());
    Matrix<float> next;
    Index stage = 0;
    for (Index step = 0; step < network.steps(); ++step) {
      CHECK(stream.rows() == 2 * network.rows_per_sample(step));
      network.run(step, stream, next);
      if (network.kind(step) != StepKind::transition) {
        Matrix<float> inputs, moved = stream;
        network.inputs(step, 1, stream, inputs);
        Matrix<float> wide(inputs.rows(), inputs.cols() + 5);  // rows need not lie one behind the other
        wide.leftCols(inputs.cols()) = inputs;
        network.add_output(step, wide.leftCols(inputs.cols()), {moved.data(), moved.rows(), moved.cols()});
        CHECK(moved == next);
      }
      std::swap(stream, next);
      const bool last = step + 1 == network.steps() || network.kind(step + 1) == StepKind::transition;
      if (network.kind(step) == StepKind::transition || !last) continue;
      const Matrix<double> expected = golden_swin_tensor(name, "stage." + std::to_string(stage++));
      REQUIRE(stream.rows() == expected.rows());
      REQUIRE(stream.cols() == expected.cols());
      CHECK(relative_distance(stream, expected) < 1e-5);
    }
    CHECK(stage == 3);
    network.outputs(stream, next);
    CHECK(relative_distance(next, golden_swin_tensor(name, "logits")) < 1e-5);
  }
}

TEST_CASE("a Swin Transformer's network tells its steps", "[swin][network]") {
  SwinTransformer<float> model = draw_swin<float>(small_swin(), 1);
  SwinSteps<float> network(model, vbp::Context(1));
  std::vector<std::string> names;
  std::vector<Index> rows;
  for (Index step = 0; step < network.steps(); ++step) {
    names.push_back(network.name(step));
    rows.push_back(network.rows_per_sample(step));
  }
  CHECK(names ==
        std::vector<std::string>{"layers.0.blocks.0.attn", "layers.0.blocks.0.mlp", "layers.0.blocks.1.attn",
                                 "layers.0.blocks.1.mlp", "layers.1.downsample", "layers.1.blocks.0.attn",
                                 "layers.1.blocks.0.mlp", "layers.1.blocks.1.attn", "layers.1.blocks.1.mlp",
                                 "layers.2.downsample", "layers.2.blocks.0.attn", "layers.2.blocks.0.mlp"});
  CHECK(rows == std::vector<Index>{49, 49, 49, 49, 49, 16, 16, 16, 16, 16, 4, 4});
}

TEST_CASE("observed pixels are the rows of each Swin block's statistics", "[swin][calibration]") {
  const Calibrated dense(small_swin(), 7);
  const std::vector<Index> pixels{49, 49, 16, 16, 4};
  for (std::size_t b = 0; b < pixels.size(); ++b) {
    CHECK(dense.statistics[b].count() == 7 * pixels[b]);
    // The moments of the covariances are the same numbers, summed another way.
    const vbp::Vector<double> variance = dense.covariances[b].covariance().diagonal();
    CHECK(relative_distance(variance, dense.statistics[b].variance()) < 1e-5);
  }
  CHECK(relative_distance(SwinInference<float>(dense.model, vbp::Context(1))(dense.images), dense.logits) ==
        0.0);
}

TEST_CASE("folding a Swin Transformer's pruned neurons is putting their means in their place",
          "[swin][calibration]") {
  const Calibrated dense(small_swin(), 20);
  const vbp::PruningPlan plan = half_of(dense);
  SwinTransformer<float> pruned = dense.model;
  vbp::fold_and_shrink_blocks(plan, dense.statistics, pruned.blocks);
  // The oracle keeps every neuron and makes those that go constants.
  SwinTransformer<double> constant = vbp::cast<double>(dense.model);
  for (std::size_t b = 0; b < plan.blocks.size(); ++b) {
    std::vector<bool> kept(static_cast<std::size_t>(plan.blocks[b].width), false);
    for (const Index i : plan.blocks[b].kept) kept[static_cast<std::size_t>(i)] = true;
    const vbp::Vector<double> mean = dense.statistics[b].mean();
    auto& block = constant.blocks[b];
    for (Index i = 0; i < mean.size(); ++i) {
      if (kept[static_cast<std::size_t>(i)]) continue;
      // GELU(20) is 20 to the last bit: with its column scaled the neuron adds what its mean would.
      block.fc1.weight.row(i).setZero();
      block.fc1.bias(i) = 20.0;
      block.fc2.weight.col(i) *= mean(i) / 20.0;
    }
  }
  const Matrix<double> expected =
      SwinInference<double>(constant, vbp::Context(1))(dense.images.cast<double>());
  const Matrix<float> logits = dense.run(pruned);
  CHECK(relative_distance(logits, expected) < 1e-5);
  CHECK(relative_distance(logits, dense.logits) > 1e-3);
}

TEST_CASE("every compensation brings a pruned Swin closer to the dense one", "[swin][calibration]") {
  const Calibrated dense(small_swin(), 60);
  const vbp::PruningPlan plan = half_of(dense);
  const auto distance = [&](SwinTransformer<float>& pruned) {
    return relative_distance(dense.run(pruned), dense.logits);
  };
  SwinTransformer<float> cut = dense.model, folded = dense.model, refitted = dense.model,
                         walked = dense.model;
  vbp::shrink_blocks(plan, cut.blocks);
  vbp::fold_and_shrink_blocks(plan, dense.statistics, folded.blocks);
  vbp::refit_and_shrink_blocks(plan, dense.covariances, refitted.blocks);
  SwinTransformer<float> twin = dense.model;
  SwinSteps<float> dense_network(twin, vbp::Context(2));
  SwinSteps<float> walked_network(walked, vbp::Context(2));
  vbp::SequentialRefit<SwinSteps<float>> refit(dense_network, walked_network, {.batch = 7});
  const auto steps = refit(plan, dense.covariances, dense_network.start(dense.images));
  REQUIRE(steps.size() == 12);
  for (const vbp::SequentialStep& step : steps) {
    INFO(step.name);
    // Before the first attention nothing has been lost.
    CHECK(step.refitted == (step.kind != StepKind::transition && &step != &steps.front()));
    if (step.refitted) CHECK(step.after <= step.before);
  }
  CHECK(distance(folded) < distance(cut));
  CHECK(distance(refitted) < distance(folded));
  CHECK(distance(walked) < distance(refitted));
}

TEST_CASE("the sequential refit of a Swin Transformer that loses nothing changes nothing",
          "[swin][calibration]") {
  const Calibrated dense(small_swin(), 20);
  const vbp::PruningPlan plan = vbp::plan_from_scores(
      dense.names(), vbp::variance_scores(dense.statistics, dense.names()), {.rate = 0.0});
  SwinTransformer<float> twin = dense.model, walked = dense.model;
  SwinSteps<float> dense_network(twin), walked_network(walked);
  vbp::SequentialRefit<SwinSteps<float>> refit(dense_network, walked_network);
  for (const auto& step : refit(plan, dense.covariances, dense_network.start(dense.images))) {
    CHECK_FALSE(step.refitted);
  }
  CHECK(dense.run(walked) == dense.logits);
}

TEST_CASE("a Swin Transformer's sensitivities are measured across its stages", "[swin][calibration]") {
  const Calibrated dense(small_swin(), 20);
  std::vector<vbp::Ranking> rankings;
  for (std::size_t b = 0; b < dense.model.blocks.size(); ++b) {
    rankings.push_back(vbp::backward_elimination(dense.covariances[b].covariance(),
                                                 dense.model.blocks[b].fc2.weight.cast<double>()));
  }
  SwinTransformer<float> model = dense.model;
  SwinSteps<float> network(model, vbp::Context(1));
  const auto start = network.start(dense.images);
  const std::vector<double> sensitivities =
      vbp::output_sensitivities(network, rankings, dense.covariances, start);
  REQUIRE(sensitivities.size() == 5);
  for (const double sensitivity : sensitivities) CHECK(sensitivity > 0.0);
  // The network is put back.
  CHECK(dense.run(model) == dense.logits);
}
