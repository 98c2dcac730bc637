#include "vbp/prune/budget/removals.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/random.hpp"

namespace {

using vbp::Index;
using vbp::PrunerOptions;
using vbp::Scope;
using vbp::ValueError;
using Ascending = std::vector<std::vector<double>>;
using Counts = std::vector<Index>;

std::vector<std::string> names_of(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t b = 0; b < count; ++b) names.push_back("b" + std::to_string(b));
  return names;
}

Counts choose(const Ascending& scores, const PrunerOptions& options) {
  return vbp::choose_removals(names_of(scores.size()), scores, options);
}

Index sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), Index{0});
}

/// Blocks of these widths whose scores are 0, 1, 2, ... in each.
Ascending counting(const Counts& widths) {
  Ascending scores;
  for (const Index width : widths) {
    std::vector<double>& block = scores.emplace_back(static_cast<std::size_t>(width));
    std::iota(block.begin(), block.end(), 0.0);
  }
  return scores;
}

/// May a block of this width be cut to `kept`? Straight from the words of the options.
bool allowed(const PrunerOptions& options, const std::string& name, Index width, Index kept, Index multiple) {
  if (std::count(options.exclude.begin(), options.exclude.end(), name) != 0) return kept == width;
  if (width <= options.min_width) return kept == width;
  if (kept < options.min_width || (options.max_width && kept > *options.max_width)) return false;
  return kept == width || kept % multiple == 0;
}

/// Every vector of removals that the options allow.
std::vector<Counts> every_choice(const Counts& widths, const PrunerOptions& options, Index multiple) {
  std::vector<Counts> all{{}};
  for (std::size_t b = 0; b < widths.size(); ++b) {
    std::vector<Counts> longer;
    for (const Counts& head : all) {
      for (Index removed = 0; removed <= widths[b]; ++removed) {
        if (!allowed(options, "b" + std::to_string(b), widths[b], widths[b] - removed, multiple)) continue;
        longer.push_back(head);
        longer.back().push_back(removed);
      }
    }
    all = std::move(longer);
  }
  return all;
}

}  // namespace

TEST_CASE("global removal takes the lowest scores of all blocks", "[widths]") {
  const Ascending scores{{1, 2, 9}, {3, 4, 5}, {0, 8, 8}};
  CHECK(choose(scores, {.kept = 9, .min_width = 1}) == Counts{0, 0, 0});
  CHECK(choose(scores, {.kept = 5, .min_width = 1}) == Counts{2, 1, 1});
  CHECK(choose(scores, {.kept = 4, .min_width = 1}) == Counts{2, 2, 1});
  CHECK(choose(scores, {.kept = 6, .min_width = 2}) == Counts{1, 1, 1});
  CHECK(choose(scores, {.kept = 6, .min_width = 1, .max_width = 2}) == Counts{1, 1, 1});
  CHECK(choose(scores, {.kept = 5, .min_width = 1, .max_width = 2}) == Counts{2, 1, 1});
  CHECK(choose(scores, {.kept = 6, .min_width = 1, .exclude = {"b0"}}) == Counts{0, 2, 1});
}

TEST_CASE("equal scores go from the lower block first", "[widths]") {
  const Ascending equal{{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}};
  CHECK(choose(equal, {.kept = 7, .min_width = 1}) == Counts{3, 2, 0});
  CHECK(choose(equal, {.kept = 8, .min_width = 1, .multiple = 2}) == Counts{2, 2, 0});
  CHECK(choose({{0, 2, 2}, {1, 2, 3}}, {.kept = 3, .min_width = 1}) == Counts{2, 1});
}

TEST_CASE("a block may be emptied to the minimum width and the rest still comes from the others",
          "[widths]") {
  Ascending scores = counting({100, 100});
  for (double& score : scores[1]) score += 1000;
  CHECK(choose(scores, {.rate = 0.5}) == Counts{84, 16});
}

TEST_CASE("block scope gives each block its proportional share", "[widths]") {
  CHECK(choose(counting({10, 20, 30}), {.rate = 0.5, .scope = Scope::block, .min_width = 1}) ==
        Counts{5, 10, 15});
  // 7 of 20: shares 2.45, 2.45, 2.1; the one left over goes to the larger remainder, the lower of equals.
  CHECK(choose(counting({7, 7, 6}), {.kept = 13, .scope = Scope::block, .min_width = 1}) == Counts{3, 2, 2});
  // 3 of 12: shares 0.5, 2, 0.5.
  CHECK(choose(counting({2, 8, 2}), {.kept = 9, .scope = Scope::block, .min_width = 1}) == Counts{1, 2, 0});
}

TEST_CASE("block scope spreads what a constrained block cannot lose", "[widths]") {
  // The excluded block's 50 go evenly to the other two.
  CHECK(choose(counting({100, 100, 100}),
               {.rate = 0.5, .scope = Scope::block, .min_width = 1, .exclude = {"b1"}}) == Counts{75, 0, 75});
  // 150 of 220: 20 -> 16 loses 4, the others 73 each.
  CHECK(choose(counting({20, 100, 100}), {.kept = 70, .scope = Scope::block}) == Counts{4, 73, 73});
  // The maximum width takes 60 from the widest, more than its share.
  CHECK(choose(counting({100, 20, 20}),
               {.kept = 70, .scope = Scope::block, .min_width = 1, .max_width = 40}) == Counts{60, 5, 5});
}

TEST_CASE("water-filling meets one common share wherever nothing clamps", "[widths]") {
  vbp::Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<vbp::Allowance> blocks;
    Index least = 0, most = 0;
    const std::uint64_t count = 1 + random.below(6);
    for (std::uint64_t b = 0; b < count; ++b) {
      const auto width = static_cast<Index>(1 + random.below(60));
      const auto low =
          random.below(3) == 0 ? static_cast<Index>(random.below(1 + static_cast<std::uint64_t>(width))) : 0;
      const auto high = low + static_cast<Index>(random.below(1 + static_cast<std::uint64_t>(width - low)));
      blocks.push_back({.width = width, .least = low, .most = high});
      least += low;
      most += high;
    }
    const Index removals =
        least + static_cast<Index>(random.below(1 + static_cast<std::uint64_t>(most - least)));
    const Counts removed = vbp::remove_evenly(blocks, removals);
    REQUIRE(sum(removed) == removals);
    // The oracle finds the common share by bisection in floating point.
    double low = 0, high = 1;
    const auto share = [&](std::size_t b, double f) {
      return std::clamp(f * static_cast<double>(blocks[b].width), static_cast<double>(blocks[b].least),
                        static_cast<double>(blocks[b].most));
    };
    for (int i = 0; i < 100; ++i) {
      const double middle = (low + high) / 2;
      double total = 0;
      for (std::size_t b = 0; b < blocks.size(); ++b) total += share(b, middle);
      (total < static_cast<double>(removals) ? low : high) = middle;
    }
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      REQUIRE(removed[b] >= blocks[b].least);
      REQUIRE(removed[b] <= blocks[b].most);
      REQUIRE(std::abs(static_cast<double>(removed[b]) - share(b, high)) < 1 + 1e-9);
    }
  }
}

TEST_CASE("kept widths are multiples, or the block is untouched", "[widths]") {
  // 40 asked for; only 16, 32, 48, ... from b0 and 4, 20, 36 from b1 (100 -> 96, 80, 64) can go.
  CHECK(choose(counting({64, 100}), {.kept = 124, .multiple = 16}) == Counts{16, 20});
  CHECK(choose(counting({64, 100}), {.kept = 161, .multiple = 16}) == Counts{0, 0});
  // Minimum width 16 is rounded up to 32.
  CHECK(choose(counting({64}), {.kept = 20, .multiple = 32}) == Counts{32});
  // 24 wide has no multiple of 32 below it.
  CHECK(choose(counting({24, 64}), {.kept = 50, .multiple = 32}) == Counts{0, 32});
}

TEST_CASE("block scope with a multiple stays nearest to the even shares", "[widths]") {
  CHECK(choose(counting({64, 64, 64}), {.rate = 0.5, .scope = Scope::block, .multiple = 8}) ==
        Counts{32, 32, 32});
  // 86 asked for, 80 reachable: 29, 29, 28 become 32, 24, 24.
  CHECK(choose(counting({64, 64, 64}), {.rate = 0.45, .scope = Scope::block, .multiple = 8}) ==
        Counts{32, 24, 24});
}

TEST_CASE("the choice is what brute force finds", "[widths]") {
  vbp::Random random(11);
  int met = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Counts widths;
    Ascending scores;
    const std::size_t count = 1 + random.below(3);
    for (std::size_t b = 0; b < count; ++b) {
      widths.push_back(static_cast<Index>(1 + random.below(9)));
      std::vector<double>& block = scores.emplace_back();
      // Small integers: sums are exact and ties are common.
      for (Index j = 0; j < widths[b]; ++j) block.push_back(static_cast<double>(random.below(6)));
      std::sort(block.begin(), block.end());
    }
    const Index total = sum(widths);
    PrunerOptions options;
    options.kept = 1 + static_cast<Index>(random.below(static_cast<std::uint64_t>(total)));
    options.scope = random.below(3) == 0 ? Scope::block : Scope::global;
    options.min_width = 1 + static_cast<Index>(random.below(4));
    if (random.below(3) == 0) options.max_width = options.min_width + static_cast<Index>(random.below(5));
    if (random.below(2) == 0) options.multiple = 1 + static_cast<Index>(random.below(4));
    if (random.below(4) == 0) options.exclude = {"b" + std::to_string(random.below(count))};
    const Index removals = total - *options.kept;

    // Without the multiple the removals themselves must be reachable, with it the nearest count below.
    bool possible = false;
    for (const Counts& choice : every_choice(widths, options, 1))
      possible = possible || sum(choice) >= removals;
    Index reached = -1;
    double least_cost = std::numeric_limits<double>::infinity();
    Counts best;
    for (const Counts& choice : every_choice(widths, options, options.multiple)) {
      if (sum(choice) > removals || sum(choice) < reached) continue;
      if (sum(choice) > reached) least_cost = std::numeric_limits<double>::infinity();
      reached = sum(choice);
      double cost = 0;
      for (std::size_t b = 0; b < count; ++b) {
        for (Index j = 0; j < choice[b]; ++j) cost += scores[b][static_cast<std::size_t>(j)];
      }
      // Of equal costs the lexicographically greatest: the lower block loses more.
      if (cost < least_cost || (cost == least_cost && choice > best)) best = choice;
      least_cost = std::min(least_cost, cost);
    }
    if (!possible || reached < 0 || (options.multiple == 1 && reached != removals)) {
      ++refused;
      CAPTURE(round, widths, removals);
      REQUIRE_THROWS_AS(choose(scores, options), ValueError);
      continue;
    }
    ++met;
    const Counts removed = choose(scores, options);
    CAPTURE(round, widths, removals, removed, best);
    REQUIRE(sum(removed) == reached);
    if (options.scope == Scope::global) {
      REQUIRE(removed == best);
    } else {
      for (std::size_t b = 0; b < count; ++b) {
        REQUIRE(
            allowed(options, "b" + std::to_string(b), widths[b], widths[b] - removed[b], options.multiple));
      }
    }
  }
  CHECK(met > 500);
  CHECK(refused > 500);
}

TEST_CASE("twelve blocks of a ViT-B are cut to a multiple exactly where it divides the budget", "[widths]") {
  vbp::Random random(5);
  Ascending scores(12, std::vector<double>(3072));
  for (std::vector<double>& block : scores) {
    for (double& score : block) score = random.uniform();
    std::sort(block.begin(), block.end());
  }
  const Counts removed = choose(scores, {.rate = 0.55, .multiple = 16});
  CHECK(sum(removed) == 20272);  // the multiple of 16 below floor(0.55 * 36864) = 20275
  for (const Index count : removed) CHECK(count % 16 == 0);
}

TEST_CASE("a budget that cannot be met says why", "[widths]") {
  const Ascending scores = counting({64, 64, 10});
  CHECK_THROWS_WITH(choose(scores, {.kept = 40}),
                    "cannot remove 98 of 138 hidden neurons: under the minimum width 16 at most 96 can go");
  CHECK(choose(scores, {.kept = 42}) == Counts{48, 48, 0});
  CHECK_THROWS_WITH(
      choose(scores, {.kept = 80, .exclude = {"b0"}}),
      "cannot remove 58 of 138 hidden neurons: under the minimum width 16 and the excluded blocks at "
      "most 48 can go");
  CHECK_THROWS_WITH(choose(scores, {.kept = 131, .max_width = 60}),
                    "cannot remove 7 of 138 hidden neurons: under the maximum width 60 at least 8 must go");
  CHECK_THROWS_WITH(choose(scores, {.kept = 60, .max_width = 30, .multiple = 32}),
                    "b0: no multiple of 32 lies between the minimum width 16 and the maximum width 30");
  CHECK_THROWS_WITH(
      choose(scores, {.kept = 118, .max_width = 60, .multiple = 16}),
      "cannot remove as few as 20 hidden neurons: the maximum width 60 and the width multiple 16 make "
      "more go");
}
