#include "vbp/models/convnext/steps.hpp"

#include <string>
#include <vector>

#include "support/convnext.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using vbp::ConvNext;
using vbp::ConvNextConfig;
using vbp::ConvNextInference;
using vbp::ConvNextSteps;
using vbp::Index;
using vbp::Matrix;
using vbp::StepKind;
using vbp_test::draw_convnext;
using vbp_test::gaussian;
using vbp_test::golden_convnext;
using vbp_test::golden_convnext_tensor;
using vbp_test::relative_distance;
using vbp_test::small_convnext;

static_assert(vbp::ResidualNetwork<vbp::ConvNextSteps<float>>);
static_assert(vbp::ResidualNetwork<vbp::ConvNextSteps<double>>);

/// A model, images and what calibration gathers from them.
struct Calibrated {
  ConvNext<float> model;
  Matrix<float> images;
  std::vector<vbp::Statistics<double>> statistics;
  std::vector<vbp::Covariance<float>> covariances;
  Matrix<float> logits;

  explicit Calibrated(const ConvNextConfig& config, Index count)
      : model(draw_convnext<float>(config, 11)),
        images(gaussian<float>(12, count, config.image_elements())),
        statistics(vbp::hidden_statistics(config)),
        covariances(vbp::hidden_covariances(config)) {
    ConvNextInference<float> inference(model, vbp::Context(2));
    logits = vbp::observe_hidden<float>(inference, images, statistics, covariances);
  }

  std::vector<std::string> names() const { return vbp::block_names(model.config); }

  Matrix<float> run(ConvNext<float>& pruned) const {
    return ConvNextInference<float>(pruned, vbp::Context(1))(images);
  }
};

vbp::PruningPlan half_of(const Calibrated& from) {
  return vbp::plan_from_scores(from.names(), vbp::variance_scores(from.statistics, from.names()),
                               {.rate = 0.5});
}

}  // namespace

TEST_CASE("the steps of a ConvNeXt lead through its stages to its logits", "[convnext][network]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    ConvNext<float> model = golden_convnext(name);
    ConvNextSteps<float> network(model, vbp::Context(1));
    REQUIRE(network.steps() == 8);
    Matrix<float> stream = network.start(golden_convnext_tensor(name, "inputs").cast<float>());
    Matrix<float> next;
    Index stage = 0;
    for (Index step = 0; step < network.steps(); ++step) {
      CHECK(stream.rows() == 2 * network.rows_per_sample(step));
      network.run(step, stream, next);
      std::swap(stream, next);
      const bool last = step + 1 == network.steps() || network.kind(step + 1) == StepKind::transition;
      if (network.kind(step) == StepKind::transition || !last) continue;
      const Matrix<double> expected = golden_convnext_tensor(name, "stage." + std::to_string(stage++));
      REQUIRE(stream.rows() == expected.rows());
      REQUIRE(stream.cols() == expected.cols());
      CHECK(relative_distance(stream, expected) < 1e-5);
    }
    CHECK(stage == 4);
    network.outputs(stream, next);
    CHECK(relative_distance(next, golden_convnext_tensor(name, "logits")) < 1e-5);
  }
}

TEST_CASE("a ConvNeXt's network tells its steps", "[convnext][network]") {
  ConvNext<float> model = draw_convnext<float>(small_convnext(), 1);
  ConvNextSteps<float> network(model, vbp::Context(1));
  std::vector<std::string> names;
  std::vector<Index> rows;
  for (Index step = 0; step < network.steps(); ++step) {
    names.push_back(network.name(step));
    rows.push_back(network.rows_per_sample(step));
  }
  CHECK(names == std::vector<std::string>{"stages.0.blocks.0", "stages.1.downsample", "stages.1.blocks.0",
                                          "stages.1.blocks.1", "stages.2.downsample", "stages.2.blocks.0"});
  CHECK(rows == std::vector<Index>{36, 36, 9, 9, 9, 1});
}

TEST_CASE("observed pixels are the rows of each ConvNeXt block's statistics", "[convnext][calibration]") {
  const Calibrated dense(small_convnext(), 7);
  const std::vector<Index> pixels{36, 9, 9, 1};
  for (std::size_t b = 0; b < pixels.size(); ++b) {
    CHECK(dense.statistics[b].count() == 7 * pixels[b]);
    // The moments of the covariances are the same numbers, summed another way.
    const vbp::Vector<double> variance = dense.covariances[b].covariance().diagonal();
    CHECK(relative_distance(variance, dense.statistics[b].variance()) < 1e-5);
  }
  CHECK(relative_distance(ConvNextInference<float>(dense.model, vbp::Context(1))(dense.images),
                          dense.logits) == 0.0);
}

TEST_CASE("folding a ConvNeXt's pruned neurons is putting their means in their place",
          "[convnext][calibration]") {
  const Calibrated dense(small_convnext(), 20);
  const vbp::PruningPlan plan = half_of(dense);
  ConvNext<float> pruned = dense.model;
  vbp::fold_and_shrink_blocks(plan, dense.statistics, pruned.blocks);
  // The oracle keeps every neuron and makes those that go constants.
  ConvNext<double> constant = vbp::cast<double>(dense.model);
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
      ConvNextInference<double>(constant, vbp::Context(1))(dense.images.cast<double>());
  const Matrix<float> logits = dense.run(pruned);
  CHECK(relative_distance(logits, expected) < 1e-5);
  CHECK(relative_distance(logits, dense.logits) > 1e-3);
}

TEST_CASE("every compensation brings a pruned ConvNeXt closer to the dense one", "[convnext][calibration]") {
  const Calibrated dense(small_convnext(), 60);
  const vbp::PruningPlan plan = half_of(dense);
  const auto distance = [&](ConvNext<float>& pruned) {
    return relative_distance(dense.run(pruned), dense.logits);
  };
  ConvNext<float> cut = dense.model, folded = dense.model, refitted = dense.model, walked = dense.model;
  vbp::shrink_blocks(plan, cut.blocks);
  vbp::fold_and_shrink_blocks(plan, dense.statistics, folded.blocks);
  vbp::refit_and_shrink_blocks(plan, dense.covariances, refitted.blocks);
  ConvNext<float> twin = dense.model;
  ConvNextSteps<float> dense_network(twin, vbp::Context(2));
  ConvNextSteps<float> walked_network(walked, vbp::Context(2));
  vbp::SequentialRefit<ConvNextSteps<float>> refit(dense_network, walked_network, {.batch = 7});
  const auto steps = refit(plan, dense.covariances, dense_network.start(dense.images));
  REQUIRE(steps.size() == 6);
  for (const vbp::SequentialStep& step : steps) {
    INFO(step.name);
    CHECK(step.refitted == (step.kind == StepKind::mlp));
    if (step.refitted) CHECK(step.after <= step.before);
  }
  CHECK(distance(folded) < distance(cut));
  CHECK(distance(refitted) < distance(folded));
  CHECK(distance(walked) < distance(refitted));
}

TEST_CASE("the sequential refit of a ConvNeXt that loses nothing changes nothing",
          "[convnext][calibration]") {
  const Calibrated dense(small_convnext(), 20);
  const vbp::PruningPlan plan = vbp::plan_from_scores(
      dense.names(), vbp::variance_scores(dense.statistics, dense.names()), {.rate = 0.0});
  ConvNext<float> twin = dense.model, walked = dense.model;
  ConvNextSteps<float> dense_network(twin), walked_network(walked);
  vbp::SequentialRefit<ConvNextSteps<float>> refit(dense_network, walked_network);
  for (const auto& step : refit(plan, dense.covariances, dense_network.start(dense.images))) {
    CHECK_FALSE(step.refitted);
  }
  CHECK(dense.run(walked) == dense.logits);
}

TEST_CASE("a ConvNeXt's sensitivities are measured across its stages", "[convnext][calibration]") {
  const Calibrated dense(small_convnext(), 20);
  std::vector<vbp::Ranking> rankings;
  for (std::size_t b = 0; b < dense.model.blocks.size(); ++b) {
    rankings.push_back(vbp::backward_elimination(dense.covariances[b].covariance(),
                                                 dense.model.blocks[b].fc2.weight.cast<double>()));
  }
  ConvNext<float> model = dense.model;
  ConvNextSteps<float> network(model, vbp::Context(1));
  const auto start = network.start(dense.images);
  const std::vector<double> sensitivities =
      vbp::output_sensitivities(network, rankings, dense.covariances, start);
  REQUIRE(sensitivities.size() == 4);
  for (const double sensitivity : sensitivities) CHECK(sensitivity > 0.0);
  // The network is put back.
  CHECK(dense.run(model) == dense.logits);
}
