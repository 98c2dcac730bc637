#include "vbp/pipeline/prune.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using namespace vbp_test;

vbp::PruneOptions half(vbp::Criterion criterion, vbp::Compensation compensation) {
  vbp::PruneOptions options{.rate = 0.5};
  options.criterion = criterion;
  options.compensation = compensation;
  return options;
}

}  // namespace

TEST_CASE("every family is pruned by the default method", "[pipeline_prune]") {
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel dense = vbp::load_model(file);
    vbp::AnyModel model = dense;
    const auto result = vbp::prune(model, random_images(dense, 12), {.rate = 0.25});
    CHECK(result.report.method.name() == "greedy + sequential-all");
    CHECK(result.report.calibration_images == 12);
    CHECK(result.plan.removed() == result.plan.total() / 4);
    CHECK_FALSE(result.report.compensated.empty());
    const auto widths = model.description().hidden_widths;
    REQUIRE(widths.size() == result.plan.blocks.size());
    for (std::size_t b = 0; b < widths.size(); ++b) CHECK(widths[b] == result.plan.blocks[b].kept_width());
    CHECK(model.cost().parameters() < dense.cost().parameters());
    CHECK(vbp::evaluate(model, random_images(dense, 4)).images == 4);
  }
}

TEST_CASE("pruning by statistics is pruning by their images", "[pipeline_prune]") {
  const TemporaryFolder folder;
  const vbp::AnyModel dense = small_vit();
  const auto images = random_images(dense, 12);
  vbp::save_statistics(folder / "statistics", vbp::calibrate(dense, images, {.covariances = true}));
  for (const auto compensation : {vbp::Compensation::mean_shift, vbp::Compensation::refit}) {
    const auto options = half(vbp::Criterion::variance, compensation);
    vbp::AnyModel by_images = dense, by_file = dense;
    vbp::prune(by_images, images, options);
    vbp::prune(by_file, folder / "statistics", options);
    CHECK(by_images.fingerprint() == by_file.fingerprint());
    CHECK(by_images.fingerprint() != dense.fingerprint());
  }
  vbp::AnyModel model = dense;
  CHECK(vbp::prune(model, folder / "statistics", {.rate = 0.5}).report.method.name() == "greedy + refit");
}

TEST_CASE("the paper's method is the pruner's on the model's blocks", "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  const auto images = random_images(dense, 12);
  vbp::AnyModel model = dense, expected = dense;
  const auto result =
      vbp::prune(model, images, half(vbp::Criterion::variance, vbp::Compensation::mean_shift));
  CHECK(result.report.method.name() == "vbp");
  const auto seen = vbp::calibrate(dense, images);
  const vbp::VariancePruner pruner({.rate = 0.5});
  const auto plan = pruner.plan(seen.calibration.names, seen.calibration.statistics);
  pruner.apply(plan, seen.calibration.statistics, expected.mlps());
  CHECK(model.fingerprint() == expected.fingerprint());
}

TEST_CASE("a calibration that keeps the images' stream serves sequential refits of several rates",
          "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  const auto images = random_images(dense, 12);
  const auto seen = vbp::calibrate(dense, images, {.covariances = true, .residual_stream = true});
  for (const double rate : {0.25, 0.5}) {
    vbp::AnyModel by_images = dense, by_calibration = dense;
    vbp::prune(by_images, images, {.rate = rate});
    const auto result = vbp::prune(by_calibration, seen, {.rate = rate});
    CHECK(result.report.method.name() == "greedy + sequential-all");
    CHECK(by_images.fingerprint() == by_calibration.fingerprint());
  }
}

TEST_CASE("the number of threads changes no bit of a pruned model", "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  vbp::AnyModel one = dense, three = dense;
  vbp::prune(one, random_images(dense, 12), {.rate = 0.5}, vbp::Context(1));
  vbp::prune(three, random_images(dense, 12), {.rate = 0.5}, vbp::Context(3));
  CHECK(one.fingerprint() == three.fingerprint());
}

TEST_CASE("budgets of MACs and parameters say what they came to", "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  for (const bool macs : {true, false}) {
    vbp::PruneOptions options;
    (macs ? options.macs : options.parameters) = 0.9;
    vbp::AnyModel model = dense;
    const auto result = vbp::prune(model, random_images(dense, 6), options);
    REQUIRE(result.report.budget.has_value());
    CHECK(result.report.budget->of == (macs ? "MACs" : "parameters"));
    CHECK(result.report.budget->share == 0.9);
    CHECK(result.report.budget->reached <= 0.9);
    const auto part = macs ? &vbp::Cost::macs : &vbp::Cost::parameters;
    CHECK(result.report.budget->reached ==
          Approx(static_cast<double>((model.cost().*part)()) / static_cast<double>((dense.cost().*part)())));
  }
}

TEST_CASE("options that make no sense are refused, and the model stays as it was", "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  const auto images = random_images(dense, 4);
  vbp::AnyModel model = dense;
  vbp::PruneOptions two{.rate = 0.5};
  two.macs = 0.5;
  vbp::PruneOptions unknown{.rate = 0.1};
  unknown.exclude = {"blocks.9"};
  for (const vbp::PruneOptions& options :
       {vbp::PruneOptions{}, two, unknown, vbp::PruneOptions{.rate = 1.0}, vbp::PruneOptions{.rate = 0.9}}) {
    CHECK_THROWS_AS(vbp::prune(model, images, options), vbp::ValueError);
  }
  CHECK(model.fingerprint() == dense.fingerprint());
}

TEST_CASE("a method is refused if its input is missing", "[pipeline_prune]") {
  using Input = vbp::MissingInputError::Input;
  const vbp::AnyModel dense = small_vit();
  const auto plain = vbp::calibrate(dense, random_images(dense, 4));
  const auto refused = [&](vbp::Criterion criterion, vbp::Compensation compensation, Input input) {
    vbp::AnyModel model = dense;
    try {
      vbp::prune(model, plain, half(criterion, compensation));
      FAIL("pruned");
    } catch (const vbp::MissingInputError& error) {
      CHECK(error.input() == input);
    }
  };
  refused(vbp::Criterion::snip, vbp::Compensation::none, Input::labels);
  refused(vbp::Criterion::variance, vbp::Compensation::sequential, Input::images);
  refused(vbp::Criterion::greedy, vbp::Compensation::none, Input::covariances);
  refused(vbp::Criterion::variance, vbp::Compensation::refit, Input::covariances);
  // Statistics alone allow the paper's method.
  vbp::AnyModel model = dense;
  CHECK(vbp::prune(model, plain, {.rate = 0.5}).report.method.name() == "vbp");
}

TEST_CASE("a pruning that is cancelled leaves the model as it was", "[pipeline_prune]") {
  const vbp::AnyModel dense = small_vit();
  for (const int updates : {0, 1, 3}) {
    vbp::AnyModel model = dense;
    CHECK_THROWS_AS(vbp::prune(model, random_images(dense, 12), {.rate = 0.5}, cancelled_after(updates)),
                    vbp::Cancelled);
    CHECK(model.fingerprint() == dense.fingerprint());
  }
}

TEST_CASE("a latency budget is for models whose blocks are alike, and remembers what was measured",
          "[pipeline_prune]") {
  const TemporaryFolder folder;
  const vbp::AnyModel convnext = vbp::load_model(kGolden / "convnext" / "plain.safetensors");
  CHECK_THROWS_AS(vbp::LatencyModel(convnext, {.file = folder / "table"}), vbp::ValueError);
  const vbp::AnyModel vit = small_vit();
  const vbp::Context one(1);
  const vbp::LatencyModel measured(vit, {.file = folder / "table"}, one);
  const std::string table = read_file(folder / "table");
  const vbp::LatencyModel read(vit, {.file = folder / "table"}, one);
  CHECK(read_file(folder / "table") == table);
  CHECK(read.dense_ms() == measured.dense_ms());
  CHECK_THROWS_AS(vbp::LatencyModel(vit, {.batch = 2, .file = folder / "table"}, one), vbp::FileError);
}
