#include "vbp/prune/method.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/error.hpp"

namespace {

using vbp::Compensation;
using vbp::Criterion;
using vbp::Method;

}  // namespace

TEST_CASE("criteria and compensations are read by the names that they are written with", "[method]") {
  std::vector<std::string_view> criteria, compensations;
  for (const Criterion criterion : vbp::kCriteria) {
    criteria.push_back(vbp::name_of(criterion));
    CHECK(vbp::parse_criterion(criteria.back()) == criterion);
  }
  for (const Compensation compensation : vbp::kCompensations) {
    compensations.push_back(vbp::name_of(compensation));
    CHECK(vbp::parse_compensation(compensations.back()) == compensation);
  }
  CHECK(criteria == std::vector<std::string_view>{"variance", "output-variance", "dvbp", "greedy", "clusters",
                                                  "magnitude", "snip", "random"});
  CHECK(compensations == std::vector<std::string_view>{"none", "mean-shift", "refit", "sequential",
                                                       "sequential-attention", "sequential-all"});
  CHECK_THROWS_WITH(
      vbp::parse_criterion("mean-shift"),
      "no criterion is named \"mean-shift\"; there are variance, output-variance, dvbp, greedy, "
      "clusters, magnitude, snip, random");
  CHECK_THROWS_AS(vbp::parse_compensation(""), vbp::ValueError);
}

TEST_CASE("published methods have their published names", "[method]") {
  const Method vbp_method = {Criterion::variance, Compensation::mean_shift};
  const Method ob2c = {Criterion::variance, Compensation::refit};
  const Method dvbp = {Criterion::dvbp, Compensation::refit};
  CHECK(vbp_method.name() == "vbp");
  CHECK(ob2c.name() == "ob2c");
  CHECK(dvbp.name() == "dvbp+ob2c");
  for (const Method& method : {vbp_method, ob2c, dvbp}) CHECK(vbp::parse_method(method.name()) == method);
  CHECK(Method{Criterion::greedy, Compensation::sequential_all}.name() == "greedy + sequential-all");
  CHECK_THROWS_AS(vbp::parse_method("greedy + sequential-all"), vbp::ValueError);
}

TEST_CASE("a method says what it needs", "[method]") {
  for (const Criterion criterion : vbp::kCriteria) {
    for (const Compensation compensation : vbp::kCompensations) {
      const Method method{criterion, compensation};
      CAPTURE(method.name());
      const bool sequential = vbp::name_of(compensation).starts_with("sequential");
      const bool ranked_by_covariance =
          criterion == Criterion::dvbp || criterion == Criterion::greedy || criterion == Criterion::clusters;
      CHECK(method.needs_images() == sequential);
      CHECK(method.needs_labels() == (criterion == Criterion::snip));
      CHECK(method.needs_covariance() ==
            (sequential || ranked_by_covariance || compensation == Compensation::refit));
    }
  }
}
