#include "vbp/prune/criteria/greedy.hpp"

#include <algorithm>
#include <vector>

#include <Eigen/LU>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/pruner.hpp"
#include "vbp/stats/covariance.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::Ranking;
using vbp::Vector;
using vbp_test::gaussian;

/// The least error of predicting all neurons' output from those of `kept`, by a solve of its own.
double error_left(const Matrix<double>& covariance, const Matrix<double>& weight,
                  const std::vector<Index>& kept) {
  const Matrix<double> joint = weight * covariance * weight.transpose();
  if (kept.empty()) return joint.trace();
  const Matrix<double> cross = weight * covariance(Eigen::all, kept);
  const Matrix<double> inner = covariance(kept, kept);
  return joint.trace() - (cross * inner.inverse() * cross.transpose()).trace();
}

}  // namespace

TEST_CASE("each elimination is the best single one, and costs what it says", "[greedy]") {
  vbp::Random random(1);
  const Index n = 14;
  const Matrix<double> x = gaussian(random, 60, n) * gaussian(random, n, n);
  Matrix<double> covariance = x.transpose() * x / 60.0;
  const Matrix<double> weight = gaussian(random, 5, n);
  const double lambda = 1e-9;
  const Ranking ranking = vbp::backward_elimination(covariance, weight, {.lambda = lambda});
  REQUIRE(ranking.order.size() == static_cast<std::size_t>(n));
  covariance.diagonal().array() += lambda * covariance.trace() / static_cast<double>(n);
  std::vector<Index> left;
  for (Index j = 0; j < n; ++j) left.push_back(j);
  double before = 0.0;
  for (std::size_t step = 0; step < ranking.order.size(); ++step) {
    // Every candidate by brute force.
    double best = -1.0;
    Index best_neuron = -1;
    for (const Index candidate : left) {
      std::vector<Index> kept = left;
      kept.erase(std::find(kept.begin(), kept.end(), candidate));
      const double error = error_left(covariance, weight, kept);
      if (best_neuron < 0 || error < best) {
        best = error;
        best_neuron = candidate;
      }
    }
    CAPTURE(step);
    CHECK(ranking.order[step] == best_neuron);
    // The whole output variance is the scale at which the brute force rounds.
    CHECK(ranking.cost[step] ==
          Approx(best - before).epsilon(1e-6).margin(1e-9 * error_left(covariance, weight, {})));
    before = best;
    left.erase(std::find(left.begin(), left.end(), best_neuron));
  }
}

TEST_CASE("an elimination over several blocks sums to the whole variance", "[greedy]") {
  // More neurons than are collected at once, so that updates are carried out between.
  vbp::Random random(2);
  const Index n = 150;
  const Matrix<double> x = gaussian(random, 400, n);
  const Matrix<double> covariance = x.transpose() * x / 400.0;
  const Matrix<double> weight = gaussian(random, 9, n);
  const Ranking ranking = vbp::backward_elimination(covariance, weight, {.lambda = 1e-6});
  std::vector<Index> sorted = ranking.order;
  std::sort(sorted.begin(), sorted.end());
  for (Index j = 0; j < n; ++j) CHECK(sorted[static_cast<std::size_t>(j)] == j);
  double sum = 0.0;
  for (const double cost : ranking.cost) sum += cost;
  CHECK(sum == Approx(error_left(covariance, weight, {})).epsilon(1e-4));
  // After 100 removals the sum of the costs is the error of the optimal refit on the 50 that are left.
  double first = 0.0;
  for (std::size_t i = 0; i < 100; ++i) first += ranking.cost[i];
  const std::vector<Index> kept(ranking.order.begin() + 100, ranking.order.end());
  CHECK(first == Approx(error_left(covariance, weight, kept)).epsilon(1e-4));
  // A drift that is never tolerated computes each inverse anew, and chooses the same.
  CHECK(vbp::backward_elimination(covariance, weight, {.lambda = 1e-6, .drift = 0.0}).order == ranking.order);
}

TEST_CASE("constant and redundant neurons go first and cost nothing", "[greedy]") {
  vbp::Random random(3);
  Matrix<double> x = gaussian(random, 200, 6);
  x.col(1).setConstant(3.0);
  x.col(4) = x.col(0);
  vbp::Covariance<double> seen(6);
  seen.observe(x);
  const Ranking ranking = vbp::backward_elimination(seen.covariance(), gaussian(random, 4, 6));
  const std::vector<Index> first{std::min(ranking.order[0], ranking.order[1]),
                                 std::max(ranking.order[0], ranking.order[1])};
  CHECK((first == std::vector<Index>{0, 1} || first == std::vector<Index>{1, 4}));
  CHECK(ranking.cost[1] < 1e-2 * ranking.cost[2]);
  const Ranking constant = vbp::backward_elimination(Matrix<double>::Zero(3, 3), gaussian(random, 2, 3));
  CHECK(constant.order.size() == 3);
  CHECK_THROWS_AS(vbp::backward_elimination(Matrix<double>::Zero(3, 2), gaussian(random, 2, 3)),
                  vbp::ShapeError);
  CHECK_THROWS_AS(
      vbp::backward_elimination(Matrix<double>::Identity(3, 3), gaussian(random, 2, 3), {.lambda = 0.0}),
      vbp::ValueError);
}

TEST_CASE("costs that fall compete on the hull of their sums, or at their maximum", "[greedy]") {
  // w = (1, 1) with correlation -0.5: 0.75, then 0.25.
  const Matrix<double> covariance{{1.0, -0.5}, {-0.5, 1.0}};
  const Ranking raw = vbp::backward_elimination(covariance, Matrix<double>::Ones(1, 2), {.lambda = 1e-12});
  CHECK(raw.cost[0] == Approx(0.75));
  CHECK(raw.cost[1] == Approx(0.25));
  CHECK(vbp::convex(raw).cost[0] == Approx(0.5));
  CHECK(vbp::convex(raw).cost[1] == Approx(0.5));
  CHECK(vbp::running_maximum(raw).cost == std::vector<double>{raw.cost[0], raw.cost[0]});
  const Ranking several{{0, 1, 2, 3, 4}, {1.0, 3.0, 1.0, 5.0, 4.0}};
  const Ranking hull = vbp::convex(several);
  CHECK(hull.cost == std::vector<double>{1.0, 2.0, 2.0, 4.5, 4.5});
  CHECK(hull.order == several.order);
  CHECK(vbp::running_maximum(several).cost == std::vector<double>{1.0, 3.0, 3.0, 5.0, 5.0});
}

TEST_CASE("weights scale what the blocks compete by, and costs do not fall", "[greedy]") {
  const std::vector<Ranking> raw{{.order = {1, 0}, .cost = {0.75, 0.25}},
                                 {.order = {0, 1}, .cost = {1.0, 3.0}}};
  const std::vector<Ranking> weighted = vbp::weighted(raw, {4.0, 0.5});
  CHECK(weighted[0].order == raw[0].order);
  CHECK(weighted[0].cost == std::vector<double>{2.0, 2.0});
  CHECK(weighted[1].cost == std::vector<double>{0.5, 1.5});
}

TEST_CASE("a plan takes neurons in the rankings' order", "[greedy]") {
  // Equal costs inside a block: the order decides, not the index.
  const std::vector<Ranking> rankings{{{2, 0, 1}, {1.0, 1.0, 4.0}}, {{1, 0, 2}, {2.0, 3.0, 5.0}}};
  const auto plan = vbp::plan_from_rankings({"a", "b"}, rankings, {.kept = 4, .min_width = 1});
  CHECK(plan.blocks[0].kept == std::vector<Index>{1});
  CHECK(plan.blocks[1].kept == std::vector<Index>{0, 1, 2});
  const auto one = vbp::plan_from_rankings({"a", "b"}, rankings, {.kept = 5, .min_width = 1});
  CHECK(one.blocks[0].kept == std::vector<Index>{0, 1});
  std::vector<Ranking> bad = rankings;
  bad[1].cost[2] = 1.0;
  CHECK_THROWS_AS(vbp::plan_from_rankings({"a", "b"}, bad, {.kept = 4}), vbp::ValueError);
  bad[1].cost.pop_back();
  CHECK_THROWS_AS(vbp::plan_from_rankings({"a", "b"}, bad, {.kept = 4}), vbp::ShapeError);
}
