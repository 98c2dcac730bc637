#include "vbp/stats/covariance.hpp"

#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/random.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace {

using Catch::Matchers::Contains;
using vbp::Covariance;
using vbp::Index;
using vbp::Matrix;
using vbp::ShapeError;
using vbp::ValueError;
using vbp::Vector;

/// Correlated samples of very different scales and of means far from zero, so that raw moments would cancel.
Matrix<double> correlated(std::uint64_t seed, Index rows, Index features) {
  vbp::Random random(seed);
  Matrix<double> x(rows, features);
  for (Index i = 0; i < rows; ++i) {
    const double common = random.normal();
    for (Index j = 0; j < features; ++j) {
      const double scale = std::pow(10.0, static_cast<double>(j % 5) - 2.0);
      x(i, j) = scale * (20.0 + common + random.normal());
    }
  }
  return x;
}

/// Two passes in long double, element by element.
Matrix<double> two_pass_m2(const Matrix<double>& x) {
  std::vector<long double> mean(static_cast<std::size_t>(x.cols()), 0.0L);
  for (Index j = 0; j < x.cols(); ++j) {
    for (Index i = 0; i < x.rows(); ++i) mean[static_cast<std::size_t>(j)] += x(i, j);
    mean[static_cast<std::size_t>(j)] /= static_cast<long double>(x.rows());
  }
  Matrix<double> m2(x.cols(), x.cols());
  for (Index a = 0; a < x.cols(); ++a) {
    for (Index b = 0; b < x.cols(); ++b) {
      long double sum = 0.0L;
      for (Index i = 0; i < x.rows(); ++i) {
        sum += (x(i, a) - mean[static_cast<std::size_t>(a)]) * (x(i, b) - mean[static_cast<std::size_t>(b)]);
      }
      m2(a, b) = static_cast<double>(sum);
    }
  }
  return m2;
}

/// The largest error of an element, in units of the two features' deviations: each row and column of the
/// matrix counts, however small its scale.
double scaled_error(const Matrix<double>& actual, const Matrix<double>& expected) {
  double worst = 0.0;
  for (Index a = 0; a < expected.rows(); ++a) {
    for (Index b = 0; b < expected.cols(); ++b) {
      const double unit = std::sqrt(expected(a, a) * expected(b, b));
      worst = std::max(worst, std::abs(actual(a, b) - expected(a, b)) / unit);
    }
  }
  return worst;
}

// Products of at most 256 deviations are rounded to T and summed in T, so that sums err by at most 256
// epsilon and in the mean by a few; the shift is within a deviation of the mean, which can double that.
template <class T>
constexpr double tolerance() {
  return 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

}  // namespace

TEMPLATE_TEST_CASE("a covariance equals the two-pass one", "[covariance]", float, double) {
  // Widths around the panel, and depths around the slice that is summed in T.
  for (const Index features : {1, 3, 24, 47, 48, 49, 100}) {
    for (const Index rows : {2, 127, 129, 300}) {
      const Matrix<double> x = correlated(7, rows, features);
      const Matrix<double> expected = two_pass_m2(x);
      Covariance<TestType> seen(features);
      seen.observe(x);
      CAPTURE(features, rows);
      CHECK(seen.count() == rows);
      CHECK(scaled_error(seen.m2(), expected) < tolerance<TestType>());
      CHECK(scaled_error(seen.covariance(), expected / static_cast<double>(rows - 1)) <
            tolerance<TestType>());
      CHECK((seen.variance() - seen.covariance().diagonal()).norm() <= 1e-15 * seen.variance().norm());
      const Vector<double> mean = x.colwise().mean().transpose();
      CHECK((seen.mean() - mean).cwiseQuotient(mean).cwiseAbs().maxCoeff() < tolerance<TestType>());
    }
  }
}

TEST_CASE("float samples are observed in place, whatever lies between their rows", "[covariance]") {
  const Matrix<float> wide = correlated(8, 300, 60).cast<float>();
  Covariance<float> whole(50), part(50);
  whole.observe(Matrix<float>(wide.leftCols(50)));
  part.observe(wide.leftCols(50));
  CHECK(part.m2() == whole.m2());
  CHECK(scaled_error(part.m2(), two_pass_m2(wide.leftCols(50).cast<double>())) < tolerance<float>());
}

TEMPLATE_TEST_CASE("merging covariances equals one pass", "[covariance]", float, double) {
  // Parts of different means, so that the distance between them matters.
  Matrix<double> x = correlated(9, 500, 70);
  x.bottomRows(200).array() += 3.0;
  Covariance<TestType> once(70);
  once.observe(x);
  Covariance<TestType> merged(70), second(70), third(70), empty(70);
  merged.observe(x.topRows(130));
  second.observe(x.middleRows(130, 220));
  third.observe(x.bottomRows(150));
  second.merge(third);
  merged.merge(empty);
  merged.merge(second);
  empty.merge(merged);
  const double limit = std::is_same_v<TestType, float> ? 1e-5 : 1e-12;
  for (const Covariance<TestType>* c : {&merged, &empty}) {
    CHECK(c->count() == 500);
    CHECK((c->mean() - once.mean()).norm() <= limit * once.mean().norm());
    CHECK((c->m2() - once.m2()).norm() <= limit * once.m2().norm());
    CHECK(scaled_error(c->m2(), two_pass_m2(x)) < tolerance<TestType>());
  }
}

TEST_CASE("of a regression's targets only the variances are formed", "[covariance]") {
  const Matrix<float> x = correlated(10, 400, 160).cast<float>();
  for (const Index targets : {0, 1, 30, 112, 113, 160}) {
    const auto observe = [&](Covariance<float> seen) {
      Covariance<float> rest = seen;
      seen.observe(x.topRows(270));
      rest.observe(x.bottomRows(130));
      seen.merge(rest);
      return seen;
    };
    const Covariance<float> joint = observe(Covariance<float>(160, targets));
    Matrix<double> expected = observe(Covariance<float>(160)).m2();
    auto corner = expected.bottomRightCorner(targets, targets);
    corner = Matrix<double>(corner.diagonal().asDiagonal());
    CAPTURE(targets);
    CHECK(joint.targets() == targets);
    CHECK(joint.m2() == expected);
    CHECK((joint.variance() * 399.0 - expected.diagonal()).norm() <= 1e-15 * expected.diagonal().norm());
    const auto observe_apart = [&](Covariance<float> seen) {
      vbp::ThreadPool pool(2);
      const auto part = [&](Index first, Index count) {
        const auto rows = x.middleRows(first, count);
        seen.observe(rows.leftCols(160 - targets), Matrix<float>(rows.rightCols(targets)), pool);
      };
      part(0, 270);
      part(270, 130);
      return seen;
    };
    Covariance<float> together(160, targets);
    together.observe(x.topRows(270));
    together.observe(x.bottomRows(130));
    const Covariance<float> apart = observe_apart(Covariance<float>(160, targets));
    CHECK(apart.count() == 400);
    CHECK(apart.mean() == together.mean());
    CHECK(apart.m2() == together.m2());
  }
  CHECK_THROWS_AS(Covariance<float>(160, -1), ShapeError);
  CHECK_THROWS_AS(Covariance<float>(160, 161), ShapeError);
  Covariance<float> plain(160);
  CHECK_THROWS_WITH(plain.merge(Covariance<float>(160, 30)), Contains("30 of them targets"));
  vbp::ThreadPool pool(1);
  Covariance<float> joint(160, 30);
  const auto features = x.leftCols(130);
  Matrix<float> of_targets = x.rightCols(30);
  CHECK_THROWS_WITH(joint.observe(x, of_targets, pool), Contains("160 features for a covariance of 130"));
  CHECK_THROWS_WITH(joint.observe(features, x, pool), Contains("its targets"));
  CHECK_THROWS_WITH(joint.observe(features, of_targets.topRows(399), pool),
                    Contains("400") && Contains("399"));
  of_targets(7, 2) = std::nanf("");
  CHECK_THROWS_WITH(joint.observe(features, of_targets, pool), Contains("feature 132 of sample 7 is NaN"));
  CHECK(joint.count() == 0);
  CHECK(joint.products().isZero(0.0));
}

TEST_CASE("the number of threads changes no bit of a covariance", "[covariance]") {
  const Matrix<float> x = correlated(10, 700, 130).cast<float>();
  Covariance<float> one(130);
  one.observe(x.topRows(400));
  one.observe(x.bottomRows(300));
  for (const int threads : {2, 3, 5}) {
    vbp::ThreadPool pool(threads);
    Covariance<float> many(130);
    many.observe(x.topRows(400), pool);
    many.observe(x.bottomRows(300), pool);
    CHECK(many.m2() == one.m2());
    CHECK(many.mean() == one.mean());
  }
}

TEST_CASE("a constant feature has no covariance with anything", "[covariance]") {
  Matrix<float> x = correlated(11, 300, 5).cast<float>();
  x.col(2).setConstant(1e6F);
  Covariance<float> seen(5);
  seen.observe(x);
  CHECK(seen.mean()(2) == 1e6);
  CHECK(seen.m2().row(2).isZero(0.0));
  CHECK(seen.variance()(2) == 0.0);
}

TEST_CASE("a covariance goes on from its sums with the same bits", "[covariance]") {
  const Matrix<double> x = correlated(12, 200, 20);
  Covariance<float> unbroken(20);
  unbroken.observe(x.topRows(120));
  Covariance<float> back =
      Covariance<float>::from_sums(unbroken.count(), unbroken.shift(), unbroken.sum(), unbroken.products());
  CHECK(back.m2() == unbroken.m2());
  back.observe(x.bottomRows(80));
  unbroken.observe(x.bottomRows(80));
  CHECK(back.count() == 200);
  CHECK(back.mean() == unbroken.mean());
  CHECK(back.m2() == unbroken.m2());
}

TEST_CASE("a covariance put into a file comes back with the same bits", "[covariance]") {
  const vbp_test::TemporaryFolder folder;
  Covariance<float> seen(20);
  seen.observe(correlated(13, 300, 20));
  const vbp::StoredCovariance stored(seen, folder.path());
  const Covariance<float> back = stored.load();
  CHECK(back.count() == seen.count());
  CHECK(back.shift() == seen.shift());
  CHECK(back.mean() == seen.mean());
  CHECK(back.m2() == seen.m2());
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("bad samples are refused by name and leave a covariance as it was", "[covariance]") {
  Matrix<float> x = correlated(13, 40, 6).cast<float>();
  Covariance<float> seen(6);
  seen.observe(x);
  const Matrix<double> before = seen.m2();
  x(17, 4) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(seen.observe(x), Contains("feature 4 of sample 17 is NaN"));
  x(17, 4) = -std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(seen.observe(x), Contains("feature 4 of sample 17 is infinite"));
  x(17, 4) = 1e30F;
  CHECK_THROWS_WITH(seen.observe(x), Contains("second moment of feature 4 overflows"));
  CHECK_THROWS_AS(seen.observe(x.leftCols(5)), ShapeError);
  CHECK_THROWS_AS(seen.merge(Covariance<float>(5)), ShapeError);
  CHECK_THROWS_AS(Covariance<float>(0), ShapeError);
  CHECK(seen.count() == 40);
  CHECK(seen.m2() == before);
  CHECK_THROWS_AS(Covariance<float>(6).covariance(), ValueError);
  CHECK_THROWS_AS(Covariance<float>(6).variance(), ValueError);
}

TEST_CASE("sums that no samples can have are refused", "[covariance]") {
  using C = Covariance<double>;
  const Vector<double> shift = Vector<double>::Ones(3);
  const Vector<double> sum = Vector<double>::Ones(3);
  const Matrix<double> products = Matrix<double>::Identity(3, 3);
  CHECK_NOTHROW(C::from_sums(4, shift, sum, products));
  CHECK_THROWS_AS(C::from_sums(4, shift, sum.head(2), products), ShapeError);
  CHECK_THROWS_AS(C::from_sums(4, shift, sum, products.topRows(2)), ShapeError);
  CHECK_THROWS_AS(C::from_sums(-1, shift, sum, products), ValueError);
  CHECK_THROWS_AS(C::from_sums(0, shift, sum, products), ValueError);
  CHECK_NOTHROW(C::from_sums(0, shift, 0.0 * sum, 0.0 * products));
  // (sum of deviations)^2 / n exceeds the sum of their squares.
  CHECK_THROWS_AS(C::from_sums(4, shift, 3.0 * sum, products), ValueError);
  Matrix<double> bad = products;
  bad(0, 2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(C::from_sums(4, shift, sum, bad), ValueError);
}
