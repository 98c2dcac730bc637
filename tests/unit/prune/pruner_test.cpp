#include "vbp/prune/pruner.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/criteria/magnitude.hpp"
#include "vbp/prune/criteria/random.hpp"
#include "vbp/prune/mlp.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::Mlp;
using vbp::PruningPlan;
using vbp::ShapeError;
using vbp::ValueError;
using vbp::Vector;
using vbp_test::gaussian;
using Indices = std::vector<Index>;

/// Three blocks of different widths, inputs, and the statistics of their hidden activations.
struct Net {
  std::vector<Mlp<double>> blocks;
  Matrix<double> x;
  std::vector<vbp::Statistics<double>> statistics;

  explicit Net(std::uint64_t seed) {
    vbp::Random random(seed);
    x = gaussian(random, 200, 7);
    for (const Index hidden : {40, 24, 64}) {
      blocks.push_back({gaussian(random, hidden, 7), gaussian(random, hidden, 1), gaussian(random, 5, hidden),
                        gaussian(random, 5, 1)});
      statistics.emplace_back(hidden).observe(blocks.back().hidden_activation(x));
    }
  }
};

Matrix<double> substituted(const Mlp<double>& dense, const Matrix<double>& x, const Indices& kept,
                           const Vector<double>& value) {
  Matrix<double> h = dense.hidden_activation(x);
  for (Index j = 0; j < h.cols(); ++j) {
    if (!std::binary_search(kept.begin(), kept.end(), j)) h.col(j).setConstant(value(j));
  }
  return (h * dense.fc2_weight().transpose()).rowwise() + dense.fc2_bias().transpose();
}

bool same_weights(const Mlp<double>& a, const Mlp<double>& b) {
  return a.hidden() == b.hidden() && a.fc1_weight() == b.fc1_weight() && a.fc1_bias() == b.fc1_bias() &&
         a.fc2_weight() == b.fc2_weight() && a.fc2_bias() == b.fc2_bias();
}

/// Moments as a user's own accumulator might hand them over, NaN and all.
struct Moments {
  std::int64_t n = 10;
  Vector<double> means, variances;
  std::int64_t count() const { return n; }
  Index features() const { return means.size(); }
  const Vector<double>& mean() const { return means; }
  const Vector<double>& variance() const { return variances; }
};

}  // namespace

TEST_CASE("a plan keeps the highest scores, ascending by index", "[pruner]") {
  vbp::Scores scores{Vector<double>(Eigen::Vector4d(5, 1, 7, 2)), Vector<double>(Eigen::Vector3d(3, 9, 3))};
  const PruningPlan plan = vbp::plan_from_scores({"a", "b"}, scores, {.kept = 4, .min_width = 1});
  CHECK(plan.requested == 3);
  CHECK(plan.total() == 7);
  CHECK(plan.kept() == 4);
  CHECK(plan.removed() == 3);
  REQUIRE(plan.blocks.size() == 2);
  CHECK(plan.blocks[0].name == "a");
  CHECK(plan.blocks[0].width == 4);
  CHECK(plan.blocks[0].kept == Indices{0, 2});
  CHECK(plan.blocks[0].score_kept == Approx(12.0 / 15.0));
  CHECK(plan.blocks[1].removed() == 1);
  CHECK(plan.blocks[1].kept == Indices{1, 2});  // of the equal scores the lower index went
  CHECK(plan.blocks[1].score_kept == Approx(12.0 / 15.0));
}

TEST_CASE("a block whose scores are all zero keeps all of nothing", "[pruner]") {
  const PruningPlan plan = vbp::plan_from_scores(
      {"dead", "live"}, {Vector<double>::Zero(4), Vector<double>::Ones(4)}, {.rate = 0.25, .min_width = 1});
  CHECK(plan.blocks[0].kept == Indices{2, 3});
  CHECK(plan.blocks[0].score_kept == 1.0);
  CHECK(plan.blocks[1].score_kept == 1.0);
}

TEST_CASE("rate 0 plans nothing and changes nothing", "[pruner]") {
  Net net(1);
  const std::vector<Mlp<double>> dense = net.blocks;
  const PruningPlan plan = vbp::prune(net.blocks, net.statistics, {.rate = 0.0});
  CHECK(plan.removed() == 0);
  for (std::size_t b = 0; b < dense.size(); ++b) CHECK(same_weights(net.blocks[b], dense[b]));
}

TEST_CASE("applying a plan equals substituting the means in every block", "[pruner]") {
  Net net(2);
  const std::vector<Mlp<double>> dense = net.blocks;
  const vbp::VariancePruner pruner({.rate = 0.5, .min_width = 4});
  const PruningPlan plan = pruner.plan(net.statistics);
  CHECK(plan.removed() == 64);
  pruner.apply(plan, net.statistics, net.blocks);
  for (std::size_t b = 0; b < dense.size(); ++b) {
    CHECK(net.blocks[b].hidden() == plan.blocks[b].kept_width());
    const Matrix<double> expected =
        substituted(dense[b], net.x, plan.blocks[b].kept, net.statistics[b].mean());
    CHECK((net.blocks[b](net.x) - expected).norm() <= 1e-14 * expected.norm());
  }
}

TEST_CASE("without mean shift the pruned neurons count as zero", "[pruner]") {
  Net net(3);
  const std::vector<Mlp<double>> dense = net.blocks;
  const PruningPlan plan =
      vbp::prune(net.blocks, net.statistics, {.rate = 0.5, .min_width = 4, .mean_shift = false});
  for (std::size_t b = 0; b < dense.size(); ++b) {
    const Matrix<double> expected =
        substituted(dense[b], net.x, plan.blocks[b].kept, Vector<double>::Zero(dense[b].hidden()));
    CHECK((net.blocks[b](net.x) - expected).norm() <= 1e-14 * expected.norm());
  }
}

TEST_CASE("mean shift lowers the error on what was observed", "[pruner]") {
  Net shifted(4), cut(4);
  const Net dense(4);
  vbp::prune(shifted.blocks, shifted.statistics, {.rate = 0.5, .min_width = 4});
  vbp::prune(cut.blocks, cut.statistics, {.rate = 0.5, .min_width = 4, .mean_shift = false});
  for (std::size_t b = 0; b < 3; ++b) {
    const Matrix<double> y = dense.blocks[b](dense.x);
    CHECK((shifted.blocks[b](dense.x) - y).norm() < (cut.blocks[b](dense.x) - y).norm());
  }
}

TEST_CASE("blocks may come as values, pointers or references", "[pruner]") {
  const vbp::VariancePruner pruner({.rate = 0.5, .min_width = 4});
  Net values(5);
  const PruningPlan plan = pruner.plan(values.statistics);
  pruner.apply(plan, values.statistics, values.blocks);
  const auto as_values = [&](const std::vector<Mlp<double>>& blocks) {
    for (std::size_t b = 0; b < 3; ++b) CHECK(same_weights(blocks[b], values.blocks[b]));
  };

  Net net(5);
  pruner.apply(plan, net.statistics, std::vector{&net.blocks[0], &net.blocks[1], &net.blocks[2]});
  as_values(net.blocks);

  net = Net(5);
  pruner.apply(plan, net.statistics,
               std::vector{std::ref(net.blocks[0]), std::ref(net.blocks[1]), std::ref(net.blocks[2])});
  as_values(net.blocks);

  net = Net(5);
  pruner.apply(plan, std::span(net.statistics), std::span(net.blocks));
  as_values(net.blocks);

  std::vector<std::unique_ptr<Mlp<double>>> owned;
  for (const Mlp<double>& block : Net(5).blocks) owned.push_back(std::make_unique<Mlp<double>>(block));
  pruner.apply(plan, net.statistics, owned);
  for (std::size_t b = 0; b < 3; ++b) CHECK(same_weights(*owned[b], values.blocks[b]));
}

TEST_CASE("other criteria use the same budget and the same compensation", "[pruner]") {
  Net net(6);
  const std::vector<Mlp<double>> dense = net.blocks;
  const auto names = vbp::numbered_blocks(3);
  const PruningPlan plan = vbp::plan_from_scores(names, vbp::magnitude_scores(net.blocks), {.rate = 0.3});
  CHECK(plan.removed() == 38);
  vbp::fold_and_shrink_blocks(plan, net.statistics, net.blocks);
  const Matrix<double> expected = substituted(dense[2], net.x, plan.blocks[2].kept, net.statistics[2].mean());
  CHECK((net.blocks[2](net.x) - expected).norm() <= 1e-14 * expected.norm());
  CHECK(vbp::plan_from_scores(names, vbp::random_scores({40, 24, 64}, 1), {.rate = 0.3}).removed() == 38);
}

TEST_CASE("the order of the blocks does not matter", "[pruner]") {
  const Net net(7);
  const std::vector<std::string> names{"a", "b", "c"};
  for (const Index multiple : {1, 8}) {
    const vbp::PrunerOptions options{.rate = 0.4, .min_width = 4, .max_width = 50, .multiple = multiple};
    const PruningPlan forward = vbp::VariancePruner(options).plan(names, net.statistics);
    const std::vector rotated{net.statistics[2], net.statistics[0], net.statistics[1]};
    const PruningPlan other = vbp::VariancePruner(options).plan({"c", "a", "b"}, rotated);
    CHECK(other.blocks[0] == forward.blocks[2]);
    CHECK(other.blocks[1] == forward.blocks[0]);
    CHECK(other.blocks[2] == forward.blocks[1]);
  }
}

TEST_CASE("kept sets are nested as the rate grows", "[pruner]") {
  const Net net(8);
  PruningPlan wider = vbp::VariancePruner({.rate = 0.0}).plan(net.statistics);
  for (const double rate : {0.1, 0.2, 0.35, 0.5, 0.6}) {
    const PruningPlan plan = vbp::VariancePruner({.rate = rate}).plan(net.statistics);
    for (std::size_t b = 0; b < 3; ++b) {
      const Indices& outer = wider.blocks[b].kept;
      const Indices& inner = plan.blocks[b].kept;
      CHECK(std::includes(outer.begin(), outer.end(), inner.begin(), inner.end()));
    }
    wider = plan;
  }
}

TEST_CASE("an excluded block keeps everything and the budget is still met", "[pruner]") {
  Net net(9);
  const Mlp<double> dense = net.blocks[2];
  const PruningPlan plan =
      vbp::prune(net.blocks, net.statistics, {.kept = 96, .min_width = 4, .exclude = {"blocks.2"}});
  CHECK(plan.removed() == 32);
  CHECK(plan.blocks[2].removed() == 0);
  CHECK(same_weights(net.blocks[2], dense));
}

TEST_CASE("the plan reports what a width multiple made of the request", "[pruner]") {
  const Net net(10);
  const PruningPlan plan =
      vbp::VariancePruner({.kept = 100, .min_width = 8, .multiple = 8}).plan(net.statistics);
  CHECK(plan.requested == 28);
  CHECK(plan.removed() == 24);
  for (const PruningPlan::Block& block : plan.blocks) CHECK(block.kept_width() % 8 == 0);
}

TEST_CASE("nothing changes where any block is refused", "[pruner]") {
  Net net(11);
  const std::vector<Mlp<double>> dense = net.blocks;
  const vbp::VariancePruner pruner({.rate = 0.5, .min_width = 4});
  const PruningPlan plan = pruner.plan({"first", "second", "third"}, net.statistics);
  const auto unchanged = [&] {
    for (std::size_t b = 0; b < 3; ++b) CHECK(same_weights(net.blocks[b], dense[b]));
  };
  PruningPlan bad = plan;

  SECTION("too few blocks") {
    CHECK_THROWS_WITH(pruner.apply(plan, net.statistics, std::span(net.blocks).first(2)),
                      "a plan for 3 blocks cannot be applied to 2");
  }
  SECTION("too few statistics") {
    CHECK_THROWS_AS(pruner.apply(plan, std::span(net.statistics).first(2), net.blocks), ShapeError);
  }
  SECTION("another order of statistics") {
    std::swap(net.statistics[1], net.statistics[2]);
    CHECK_THROWS_WITH(pruner.apply(plan, net.statistics, net.blocks),
                      "second: statistics of 64 features for 24 hidden neurons");
  }
  SECTION("statistics of nothing") {
    net.statistics[2] = vbp::Statistics<double>(64);
    CHECK_THROWS_WITH(pruner.apply(plan, net.statistics, net.blocks),
                      "third: the statistics have seen no sample");
  }
  SECTION("a plan for another width") {
    bad.blocks[2].width = 63;
    CHECK_THROWS_WITH(pruner.apply(bad, net.statistics, net.blocks),
                      "third: the plan is for 63 hidden neurons, the block has 64");
  }
  SECTION("a plan that keeps what is not there") {
    bad.blocks[2].kept.back() = 64;
    CHECK_THROWS_WITH(pruner.apply(bad, net.statistics, net.blocks), "third: index 64 is outside [0, 64)");
  }
  SECTION("a plan that keeps nothing") {
    bad.blocks[2].kept.clear();
    CHECK_THROWS_WITH(pruner.apply(bad, net.statistics, net.blocks), "third: the plan keeps no neuron");
  }
  SECTION("a plan applied twice") {
    pruner.apply(plan, net.statistics, net.blocks);
    const std::vector<Mlp<double>> once = net.blocks;
    CHECK_THROWS_AS(pruner.apply(plan, net.statistics, net.blocks), vbp::Error);
    for (std::size_t b = 0; b < 3; ++b) CHECK(same_weights(net.blocks[b], once[b]));
    net.blocks = dense;
  }
  SECTION("a mean that is not finite") {
    std::vector<Moments> moments;
    for (const auto& s : net.statistics) moments.push_back({s.count(), s.mean(), s.variance()});
    moments[2].means(vbp::complement(plan.blocks[2].kept, 64).front()) =
        std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(pruner.apply(plan, moments, net.blocks), ValueError);
  }
  SECTION("a weight that is not finite") {
    Matrix<double> w2 = dense[2].fc2_weight();
    w2(0, vbp::complement(plan.blocks[2].kept, 64).front()) = std::numeric_limits<double>::quiet_NaN();
    Mlp<double> broken(dense[2].fc1_weight(), dense[2].fc1_bias(), w2, dense[2].fc2_bias());
    CHECK_THROWS_WITH(
        pruner.apply(plan, net.statistics, std::vector{&net.blocks[0], &net.blocks[1], &broken}),
        "third: the folded bias is not finite");
  }
  SECTION("without mean shift") {
    bad.blocks[2].width = 63;
    CHECK_THROWS_AS(vbp::shrink_blocks(bad, net.blocks), ShapeError);
  }
  unchanged();
}

TEST_CASE("scores that are not finite and bad options never make a plan", "[pruner]") {
  const Net net(12);
  std::vector<Moments> moments;
  for (const auto& s : net.statistics) moments.push_back({s.count(), s.mean(), s.variance()});
  moments[1].variances(20) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(vbp::VariancePruner({.rate = 0.5}).plan(moments),
                    "blocks.1: the score of neuron 20 is not finite");
  CHECK_THROWS_AS(vbp::VariancePruner({.rate = 1.5}), ValueError);
  CHECK_THROWS_AS(vbp::VariancePruner({.rate = 0.5}).plan({"a", "b"}, net.statistics), ShapeError);
  CHECK_THROWS_AS(vbp::VariancePruner({.rate = 0.5, .exclude = {"blocks.3"}}).plan(net.statistics),
                  ValueError);
}

TEST_CASE("prune excludes blocks by the names that it is given", "[pruner]") {
  Net net(20);
  const std::vector<Mlp<double>> dense = net.blocks;
  const vbp::PrunerOptions options{.rate = 0.3, .min_width = 1, .exclude = {"head"}};
  const PruningPlan plan = vbp::prune(net.blocks, {"stem", "body", "head"}, net.statistics, options);
  CHECK(plan == vbp::VariancePruner(options).plan({"stem", "body", "head"}, net.statistics));
  CHECK(plan.removed() == 38);  // floor(0.3 * 128)
  CHECK(same_weights(net.blocks[2], dense[2]));
  CHECK(net.blocks[0].hidden() + net.blocks[1].hidden() == 128 - 64 - 38);

  // Without names the blocks are called by their numbers.
  Net numbered(20);
  CHECK_THROWS_WITH(vbp::prune(numbered.blocks, numbered.statistics, options),
                    "no block is named head; there are blocks.0, blocks.1, blocks.2");
  CHECK_THROWS_AS(vbp::prune(numbered.blocks, {"stem", "body"}, numbered.statistics, options), ShapeError);
  CHECK(same_weights(numbered.blocks[0], dense[0]));
  const PruningPlan by_number = vbp::prune(numbered.blocks, numbered.statistics,
                                           {.rate = 0.3, .min_width = 1, .exclude = {"blocks.2"}});
  CHECK(by_number.blocks[0].kept == plan.blocks[0].kept);
  CHECK(same_weights(numbered.blocks[1], net.blocks[1]));
}
