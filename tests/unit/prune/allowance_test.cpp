#include "vbp/prune/budget/allowance.hpp"

#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace {

using vbp::Index;
using vbp::PrunerOptions;
using vbp::ShapeError;
using vbp::ValueError;

}  // namespace

TEST_CASE("a decimal rate removes exactly the floor of its product", "[budget]") {
  CHECK(vbp::requested_removals({.rate = 0.55}, 36864) == 20275);
  CHECK(vbp::requested_removals({.rate = 0.55}, 20) == 11);
  CHECK(vbp::requested_removals({.rate = 0.0}, 36864) == 0);
  CHECK(vbp::requested_removals({.rate = 1.0 - 0.9}, 10) == 1);
  CHECK(vbp::requested_removals({.rate = 0.0999}, 10) == 0);
  // In integers there is no rounding to be robust against.
  for (const Index total : {1, 7, 100, 6144, 18432, 36864, 98304}) {
    for (Index thousandths = 0; thousandths < 1000; ++thousandths) {
      const double rate = static_cast<double>(thousandths) / 1000.0;
      REQUIRE(vbp::requested_removals({.rate = rate}, total) == thousandths * total / 1000);
    }
  }
}

TEST_CASE("a kept count removes the others", "[budget]") {
  CHECK(vbp::requested_removals({.kept = 30}, 100) == 70);
  CHECK(vbp::requested_removals({.kept = 100}, 100) == 0);
  CHECK_THROWS_WITH(vbp::requested_removals({.kept = 101}, 100), "cannot keep 101 of 100 hidden neurons");
}

TEST_CASE("options that make no sense are refused", "[budget]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const PrunerOptions& options : std::vector<PrunerOptions>{
           {},
           {.rate = 0.5, .kept = 3},
           {.rate = 1.0},
           {.rate = -0.1},
           {.rate = nan},
           {.kept = 0},
           {.kept = -5},
           {.rate = 0.5, .min_width = 0},
           {.rate = 0.5, .min_width = 16, .max_width = 15},
           {.rate = 0.5, .multiple = 0},
       }) {
    CHECK_THROWS_AS(vbp::require_options(options), ValueError);
  }
  CHECK_NOTHROW(vbp::require_options({.rate = 0.5, .min_width = 16, .max_width = 16}));
}

TEST_CASE("allowances follow minimum width, maximum width and exclusion", "[budget]") {
  const auto blocks = vbp::allowances({"a", "b", "c", "d"}, {100, 50, 20, 100},
                                      {.rate = 0.5, .min_width = 20, .max_width = 60, .exclude = {"d"}});
  REQUIRE(blocks.size() == 4);
  CHECK((blocks[0].least == 40 && blocks[0].most == 80));
  CHECK((blocks[1].least == 0 && blocks[1].most == 30));
  CHECK((blocks[2].least == 0 && blocks[2].most == 0));
  CHECK((blocks[3].least == 0 && blocks[3].most == 0));
}

TEST_CASE("block names must be known and unique", "[budget]") {
  CHECK_THROWS_WITH(vbp::allowances({"a", "b"}, {8, 8}, {.rate = 0.5, .exclude = {"c"}}),
                    "no block is named c; there are a, b");
  CHECK_THROWS_WITH(vbp::allowances({"a", "a"}, {8, 8}, {.rate = 0.5}), "two blocks are named a");
  CHECK_THROWS_AS(vbp::allowances({"a"}, {8, 8}, {.rate = 0.5}), ShapeError);
}
