#include "vbp/prune/criteria/scores.hpp"

#include <array>
#include <functional>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "vbp/prune/criteria/magnitude.hpp"
#include "vbp/prune/criteria/random.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/stats/statistics.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::ShapeError;
using vbp::ValueError;
using vbp::Vector;

vbp::Statistics<double> statistics_of(const Matrix<double>& samples) {
  vbp::Statistics<double> statistics(samples.cols());
  statistics.observe(samples);
  return statistics;
}

static_assert(vbp::HasMoments<vbp::Statistics<float>> && vbp::HasMoments<vbp::Statistics<double>>);

}  // namespace

TEST_CASE("variance scores are the raw sample variances", "[score]") {
  Matrix<double> a(3, 2), b(2, 1);
  a << 1, 10, 2, 10, 3, 40;
  b << -1, 1;
  const std::vector statistics{statistics_of(a), statistics_of(b)};
  const vbp::Scores scores = vbp::variance_scores(statistics);
  REQUIRE(scores.size() == 2);
  CHECK(scores[0](0) == Approx(1.0).epsilon(1e-14));
  CHECK(scores[0](1) == Approx(300.0).epsilon(1e-14));
  CHECK(scores[1](0) == Approx(2.0).epsilon(1e-14));

  const std::array single{
      vbp::Statistics<float>::from_moments(3, Vector<float>::Zero(1), Vector<float>::Ones(1))};
  CHECK(vbp::variance_scores(single)[0](0) == 0.5);
}

TEST_CASE("variance scores refuse too few samples and name the block", "[score]") {
  const std::vector statistics{statistics_of(Matrix<double>::Random(3, 2)),
                               statistics_of(Matrix<double>::Random(1, 2))};
  CHECK_THROWS_AS(vbp::variance_scores(statistics), ValueError);
  CHECK_THROWS_WITH(vbp::variance_scores(statistics, {"first", "second"}),
                    "second: a variance needs two samples, there are 1");
}

TEST_CASE("scores that are not finite are refused by block and neuron", "[score]") {
  vbp::Scores scores{Vector<double>::Ones(3), Vector<double>::Ones(4)};
  CHECK_NOTHROW(vbp::require_scores({"a", "b"}, scores));
  CHECK_THROWS_AS(vbp::require_scores({"a"}, scores), ShapeError);
  scores[1](2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(vbp::require_scores({"a", "b"}, scores), "b: the score of neuron 2 is not finite");
  scores[1](2) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(vbp::require_scores({"a", "b"}, scores), ValueError);
  scores[1].resize(0);
  CHECK_THROWS_WITH(vbp::require_scores({"a", "b"}, scores), "b: the block has no hidden neurons");
}

TEST_CASE("magnitude scores are the row norms of the first layer", "[score]") {
  Matrix<float> w1(2, 2);
  w1 << 3, 4, 5, 12;
  vbp::Mlp<float> mlp(w1, Vector<float>::Zero(2), Matrix<float>::Zero(1, 2), Vector<float>::Zero(1));
  const Vector<double> expected = Eigen::Vector2d(5, 13);

  const std::vector values{mlp, mlp};
  REQUIRE(vbp::magnitude_scores(values).size() == 2);
  CHECK(vbp::magnitude_scores(values)[1] == expected);
  CHECK(vbp::magnitude_scores(std::array{&mlp})[0] == expected);
  CHECK(vbp::magnitude_scores(std::vector{std::ref(mlp)})[0] == expected);
}

TEST_CASE("random scores depend on the seed alone", "[score]") {
  const std::vector<Index> widths{5, 1, 7};
  const vbp::Scores scores = vbp::random_scores(widths, 42);
  REQUIRE(scores.size() == 3);
  for (std::size_t b = 0; b < 3; ++b) {
    REQUIRE(scores[b].size() == widths[b]);
    CHECK(scores[b].minCoeff() >= 0.0);
    CHECK(scores[b].maxCoeff() < 1.0);
  }
  CHECK(vbp::random_scores(widths, 42)[2] == scores[2]);
  CHECK(vbp::random_scores(widths, 43)[2] != scores[2]);
  // SplitMix64's published first output of seed 42, as a double: the same on every platform.
  CHECK(scores[0](0) == static_cast<double>(13679457532755275413U >> 11) * 0x1p-53);
}
