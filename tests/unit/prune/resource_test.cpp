#include "vbp/prune/budget/resource.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/criteria/random.hpp"

namespace {

using vbp::Index;
using vbp::PrunerOptions;
using vbp::PruningPlan;
using vbp::Ranking;
using vbp::Resource;
using vbp::ValueError;

const std::vector<std::string> kNames{"a", "b", "c"};

std::vector<Ranking> random_rankings(const std::vector<Index>& widths, std::uint64_t seed) {
  return vbp::rankings_of(vbp::random_scores(widths, seed));
}

}  // namespace

TEST_CASE("a share of a resource is met by the fewest removals", "[resource]") {
  const auto rankings = random_rankings({40, 60, 50}, 1);
  const Resource resource{.name = "MACs", .total = 10007, .per_neuron = {49, 49, 49}};
  for (int percent = 51; percent <= 100; ++percent) {
    const PruningPlan plan = vbp::plan_within(kNames, rankings, resource, percent / 100.0, {});
    // In integers: total - 49 n <= percent/100 total.
    const std::int64_t too_many = 100 * 10007 - percent * 10007;
    const std::int64_t count = (too_many + 4899) / 4900;
    INFO(percent);
    REQUIRE(plan.removed() == count);
    CHECK(plan.requested == count);
    CHECK(resource.left(plan) == 10007 - 49 * count);
    // Where all neurons save the same, it is the plan of that count.
    CHECK(plan == vbp::plan_from_rankings(kNames, rankings, {.kept = 150 - count}));
  }
}

TEST_CASE("neurons compete by their cost for what they save", "[resource]") {
  // Each neuron of b saves ten times what one of a saves and costs five times as much: b's go first.
  std::vector<Ranking> rankings(2);
  for (Index j = 0; j < 30; ++j) {
    for (auto& ranking : rankings) ranking.order.push_back(j);
    rankings[0].cost.push_back(1.0);
    rankings[1].cost.push_back(5.0);
  }
  const Resource resource{.name = "MACs", .total = 330, .per_neuron = {1, 10}};
  const PruningPlan plan = vbp::plan_within({"a", "b"}, rankings, resource, 0.7, {.min_width = 1});
  CHECK(plan.blocks[0].removed() == 0);
  CHECK(plan.blocks[1].removed() == 10);
}

TEST_CASE("a share is met under the other constraints", "[resource]") {
  const auto rankings = random_rankings({64, 64, 64}, 2);
  const Resource resource{.name = "parameters", .total = 2000, .per_neuron = {7, 7, 7}};
  for (const vbp::Scope scope : {vbp::Scope::global, vbp::Scope::block}) {
    const PruningPlan plan = vbp::plan_within(
        kNames, rankings, resource, 0.75, {.scope = scope, .max_width = 60, .multiple = 8, .exclude = {"b"}});
    CHECK(plan.blocks[1].removed() == 0);
    for (const std::size_t b : {0U, 2U}) {
      CHECK(plan.blocks[b].kept_width() % 8 == 0);
      CHECK(plan.blocks[b].kept_width() <= 56);
    }
    // 500 must go, neurons of 7 by eights: 72 of them.
    CHECK(plan.removed() == 72);
  }
  // The widths that the maximum leaves are narrower than what was asked for.
  CHECK(vbp::plan_within(kNames, rankings, resource, 1.0, {.max_width = 60, .multiple = 8}).removed() == 24);
}

TEST_CASE("a decimal share is met exactly", "[resource]") {
  // 0.55 * 20 is a little less than 11 in binary.
  const auto rankings = random_rankings({20}, 3);
  const Resource resource{.name = "MACs", .total = 20, .per_neuron = {1}};
  CHECK(vbp::plan_within({"a"}, rankings, resource, 0.55, {.min_width = 1}).removed() == 9);
}

TEST_CASE("shares out of reach and without sense are refused", "[resource]") {
  const auto rankings = random_rankings({40, 60, 50}, 4);
  const Resource resource{.name = "MACs", .total = 10000, .per_neuron = {50, 50, 50}};
  for (const double share : {0.0, -0.5, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(vbp::plan_within(kNames, rankings, resource, share, {}), ValueError);
  }
  CHECK_THROWS_WITH(vbp::plan_within(kNames, rankings, resource, 0.4, {.exclude = {"a"}}),
                    "cannot keep as little as 0.4 of the MACs: under the minimum width 16 and the excluded "
                    "blocks 6100 of 10000 stay");
  CHECK_THROWS_AS(vbp::plan_within(kNames, rankings, {"MACs", 10000, {50, 50}}, 0.9, {}), vbp::ShapeError);
  CHECK_THROWS_AS(vbp::plan_within(kNames, rankings, {"MACs", 10000, {50, 0, 50}}, 0.9, {}), ValueError);
}
