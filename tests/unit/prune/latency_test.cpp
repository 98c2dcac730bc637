#include "vbp/prune/budget/latency.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/criteria/random.hpp"

namespace {

using vbp::Index;
using vbp::Ranking;
using vbp::TimedCut;
using Cuts = std::vector<std::vector<TimedCut>>;

Cuts random_cuts(vbp::Random& random, std::size_t blocks, Index counts) {
  Cuts cuts(blocks);
  for (auto& block : cuts) {
    for (Index i = 0; i < counts; ++i) block.push_back({{i, random.uniform()}, 1.0 + random.uniform()});
  }
  return cuts;
}

struct Choice {
  double cost = 0.0, time = 0.0;
};

Choice of(const Cuts& cuts, const std::vector<Index>& removed) {
  Choice choice;
  for (std::size_t b = 0; b < cuts.size(); ++b) {
    const auto& cut = cuts[b][static_cast<std::size_t>(removed[b])];
    choice.cost += cut.cut.cost;
    choice.time += cut.time;
  }
  return choice;
}

/// The least cost of all choices within the limit, each tried.
double least_cost(const Cuts& cuts, double limit, std::size_t block = 0) {
  if (block == cuts.size()) return limit >= 0.0 ? 0.0 : std::numeric_limits<double>::infinity();
  double least = std::numeric_limits<double>::infinity();
  for (const TimedCut& cut : cuts[block]) {
    least = std::min(least, cut.cut.cost + least_cost(cuts, limit - cut.time, block + 1));
  }
  return least;
}

}  // namespace

TEST_CASE("a latency curve is linear between its widths and level beyond", "[latency]") {
  const vbp::LatencyCurve curve{{32, 64, 128}, {1.0, 3.0, 4.0}};
  CHECK(curve(1) == 1.0);
  CHECK(curve(32) == 1.0);
  CHECK(curve(48) == 2.0);
  CHECK(curve(64) == 3.0);
  CHECK(curve(80) == 3.25);
  CHECK(curve(128) == 4.0);
  CHECK(curve(1000) == 4.0);
}

TEST_CASE("the cheapest cuts within a time are those that trying all finds", "[latency]") {
  vbp::Random random(1);
  for (int trial = 0; trial < 50; ++trial) {
    const Cuts cuts = random_cuts(random, 4, 6);
    const double limit = 4.6 + 2.0 * random.uniform();
    INFO("trial " << trial << ", limit " << limit);
    const auto removed = vbp::cheapest_within(cuts, limit);
    if (!removed) {
      CHECK(least_cost(cuts, limit) == std::numeric_limits<double>::infinity());
      continue;
    }
    const Choice choice = of(cuts, *removed);
    CHECK(choice.time <= limit);
    CHECK(choice.cost >= least_cost(cuts, limit) - 1e-12);
    // A block gives away at most 1/20000 of what the cuts can save, here less than 4.
    CHECK(choice.cost <= least_cost(cuts, limit - 4.0 * 4.0 / 20000.0) + 1e-12);
    CHECK(vbp::cheapest_within(cuts, choice.time) == removed);
  }
}

TEST_CASE("more time never costs more", "[latency]") {
  vbp::Random random(2);
  for (int trial = 0; trial < 5; ++trial) {
    const Cuts cuts = random_cuts(random, 5, 8);
    double last = std::numeric_limits<double>::infinity();
    for (double limit = 5.0; limit < 10.0; limit += 0.1) {
      const auto removed = vbp::cheapest_within(cuts, limit);
      if (!removed) {
        CHECK(last == std::numeric_limits<double>::infinity());
        continue;
      }
      const double cost = of(cuts, *removed).cost;
      CHECK(cost <= last);
      last = cost;
    }
  }
}

TEST_CASE("a limit is reached to the last bit, and of equal costs the faster cut is taken", "[latency]") {
  const Cuts cuts{{{{0, 0.0}, 3.0}, {{1, 1.0}, 2.0}, {{2, 2.0}, 1.0}}, {{{0, 0.0}, 3.0}, {{1, 5.0}, 1.0}}};
  CHECK(vbp::cheapest_within(cuts, 6.0) == std::vector<Index>{0, 0});
  CHECK(vbp::cheapest_within(cuts, 5.0) == std::vector<Index>{1, 0});
  CHECK(vbp::cheapest_within(cuts, 4.0) == std::vector<Index>{2, 0});
  CHECK(vbp::cheapest_within(cuts, 2.0) == std::vector<Index>{2, 1});
  CHECK_FALSE(vbp::cheapest_within(cuts, 1.999));
  CHECK_FALSE(vbp::cheapest_within(Cuts(1), 1.0));
  // Thirds of the time that can be saved are no whole number of its parts.
  const Cuts thirds(3, {{{0, 0.0}, 1.0 / 3.0}, {{1, 1.0}, 0.0}});
  CHECK(vbp::cheapest_within(thirds, 1.0) == std::vector<Index>{0, 0, 0});
  CHECK(vbp::cheapest_within(thirds, 0.0) == std::vector<Index>{1, 1, 1});
  // Nothing changes the time.
  const Cuts level(2, {{{0, 0.0}, 1.0}, {{1, 1.0}, 1.0}});
  CHECK(vbp::cheapest_within(level, 2.0) == std::vector<Index>{0, 0});
  CHECK_FALSE(vbp::cheapest_within(level, 1.999));
  const Cuts equal{{{{0, 1.0}, 3.0}, {{1, 1.0}, 2.0}, {{2, 1.0}, 2.5}}};
  CHECK(vbp::cheapest_within(equal, 10.0) == std::vector<Index>{1});
  // The same where times differ by less than a unit; and the fastest choice is not lost to one so close.
  const Cuts close{{{{0, 1.0}, 2.00001}, {{1, 1.0}, 2.0}, {{2, 5.0}, 1.00001}, {{3, 6.0}, 1.0}}};
  CHECK(vbp::cheapest_within(close, 10.0) == std::vector<Index>{1});
  CHECK(vbp::cheapest_within(close, 1.0) == std::vector<Index>{3});
}

TEST_CASE("a plan within a time keeps to it and to the other constraints", "[latency]") {
  const std::vector<std::string> names{"a", "b", "c"};
  const auto rankings = vbp::rankings_of(vbp::random_scores({96, 96, 80}, 3));
  const auto linear = [](std::size_t, Index width) { return 10.0 + static_cast<double>(width); };
  // Where time is linear and the same for all blocks, it is the plan of a count.
  const auto plan = vbp::plan_within_time(names, rankings, linear, 30.0 + 200.0, {});
  CHECK(plan == vbp::plan_from_rankings(names, rankings, {.kept = 200}));

  const auto eighths = vbp::plan_within_time(names, rankings, linear, 30.0 + 203.0,
                                             {.max_width = 90, .multiple = 8, .exclude = {"c"}});
  CHECK(eighths.blocks[0].kept_width() % 8 == 0);
  CHECK(eighths.blocks[1].kept_width() % 8 == 0);
  CHECK(std::max(eighths.blocks[0].kept_width(), eighths.blocks[1].kept_width()) <= 88);
  CHECK(eighths.blocks[2].removed() == 0);
  CHECK(eighths.kept() == 200);
  CHECK(eighths.requested == eighths.removed());

  // A block whose time no width changes keeps everything.
  const auto level = [&](std::size_t b, Index width) { return b == 1 ? 50.0 : linear(b, width); };
  const auto spared = vbp::plan_within_time(names, rankings, level, 150.0, {});
  CHECK(spared.blocks[1].removed() == 0);
  CHECK(spared.kept() == 96 + 80);
}

namespace {

/// Blocks whose predictions say that time is 10 + width each, and a machine that is not so.
struct Machine {
  std::vector<std::string> names{"a", "b", "c"};
  std::vector<Ranking> rankings = vbp::rankings_of(vbp::random_scores({96, 96, 80}, 3));
  /// Of the kept neurons of all blocks.
  std::function<double(double)> true_time;
  mutable std::vector<vbp::PruningPlan> measured = {};

  static double predicted(std::size_t, Index width) { return 10.0 + static_cast<double>(width); }

  vbp::TimedPlan plan(double limit) const {
    const auto measure = [&](const vbp::PruningPlan& plan) {
      measured.push_back(plan);
      return true_time(static_cast<double>(plan.kept()));
    };
    return vbp::plan_within_measured_time(names, rankings, predicted, measure, limit, {});
  }
};

}  // namespace

TEST_CASE("a prediction that a measurement bears out is left as it is", "[latency]") {
  const Machine machine{.true_time = [](double kept) { return 1.019 * (30.0 + kept); }};
  const auto [plan, time] = machine.plan(230.0);
  CHECK(plan == vbp::plan_from_rankings(machine.names, machine.rankings, {.kept = 200}));
  CHECK(time == Approx(230.0));
  REQUIRE(machine.measured.size() == 1);
  CHECK(machine.measured[0] == plan);
  // Of a plan that removes nothing the time is known.
  CHECK(machine.plan(1000.0).time == Approx(30.0 + 272.0));
  CHECK(machine.measured.size() == 1);
}

TEST_CASE("savings that are larger or smaller than predicted are scaled to what is measured", "[latency]") {
  for (const double scale : {0.8, 0.9, 1.1, 1.3}) {
    INFO("scale " << scale);
    // Dense takes 302; every neuron that goes saves `scale` instead of one.
    const Machine machine{.true_time = [=](double kept) { return 302.0 - scale * (272.0 - kept); }};
    const auto [plan, time] = machine.plan(230.0);
    // As many as have to go by the true times.
    const double removed = std::ceil(72.0 / scale - 1e-9);
    CHECK(plan.removed() == static_cast<Index>(removed));
    CHECK(time == Approx(302.0 - scale * removed));
    CHECK(machine.measured.size() == 2);
  }
}

TEST_CASE("measurements come to an end, and from the same ones the same plan comes", "[latency]") {
  // What the second half of the neurons saves is half of what the first half does: no one factor is right.
  const Machine bent{.true_time = [](double kept) {
    const double gone = 272.0 - kept;
    return 302.0 - std::min(gone, 60.0) - 0.5 * std::max(0.0, gone - 60.0);
  }};
  const auto first = bent.plan(210.0);
  CHECK(bent.true_time(static_cast<double>(first.plan.kept())) == Approx(210.0).epsilon(0.02));
  CHECK(first.time <= 210.0);
  CHECK(bent.measured.size() <= 3);
  CHECK(bent.plan(210.0).plan == first.plan);

  // A machine that answers anything is asked three times, and believed within a factor of two.
  for (const double odd : {1e-3, 1e9}) {
    const Machine machine{.true_time = [=](double) { return odd; }};
    const auto [plan, time] = machine.plan(250.0);
    CHECK(plan.removed() == (odd < 1.0 ? 26 : 104));
    CHECK(time == Approx(250.0));
    CHECK(machine.measured.size() == 3);
  }
  const Machine broken{.true_time = [](double) { return std::numeric_limits<double>::quiet_NaN(); }};
  CHECK_THROWS_WITH(broken.plan(250.0), "a measured time is not finite");
  // That it cannot be done may turn out by measuring: 16 neurons stay in each block.
  const Machine slow{.true_time = [](double kept) { return 302.0 - 0.75 * (272.0 - kept); }};
  CHECK_THROWS_WITH(slow.plan(100.0), "cannot come down to 100: under the minimum width 16 the least is 134");
}

TEST_CASE("a time out of reach or that is none is refused", "[latency]") {
  const std::vector<std::string> names{"a", "b"};
  const auto rankings = vbp::rankings_of(vbp::random_scores({64, 64}, 4));
  const auto linear = [](std::size_t, Index width) { return static_cast<double>(width); };
  CHECK_NOTHROW(vbp::plan_within_time(names, rankings, linear, 32.0, {}));
  CHECK_THROWS_WITH(vbp::plan_within_time(names, rankings, linear, 31.5, {}, " ms"),
                    "cannot come down to 31.5 ms: under the minimum width 16 the least is 32 ms");
  const auto odd = [](std::size_t, Index width) { return 0.0123456 * static_cast<double>(width); };
  CHECK_THROWS_WITH(
      vbp::plan_within_time(names, rankings, odd, 0.1, {.exclude = {"b"}}),
      "cannot come down to 0.1: under the minimum width 16 and the excluded blocks the least is "
      "0.9877");
  CHECK_THROWS_WITH(vbp::plan_within_time(names, rankings, linear, 64.0, {.max_width = 40, .multiple = 48}),
                    "a: no multiple of 48 lies between the minimum width 16 and the maximum width 40");
  const auto none = [](std::size_t, Index) { return std::numeric_limits<double>::quiet_NaN(); };
  CHECK_THROWS_WITH(vbp::plan_within_time(names, rankings, none, 31.5, {}), "a: a time is not finite");
  std::vector<Ranking> falling = rankings;
  std::reverse(falling[1].cost.begin(), falling[1].cost.end());
  CHECK_THROWS_WITH(vbp::plan_within_time(names, falling, linear, 100.0, {}),
                    "b: the costs of a ranking fall");
}
