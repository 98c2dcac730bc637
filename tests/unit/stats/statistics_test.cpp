#include "vbp/stats/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "vbp/core/random.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::ShapeError;
using vbp::Statistics;
using vbp::ValueError;
using vbp::Vector;

/// Mean and sample variance of each column in long double: the mean first, then the deviations from it, and
/// what the rounded mean leaves of their sum taken off again.
struct TwoPass {
  Vector<long double> mean, variance;

  template <class S>
  explicit TwoPass(const Matrix<S>& samples) {
    const Matrix<long double> x = samples.template cast<long double>();
    const auto n = static_cast<long double>(x.rows());
    mean = x.colwise().sum().transpose() / n;
    const Matrix<long double> deviations = x.rowwise() - mean.transpose();
    const Vector<long double> left = deviations.colwise().sum().transpose();
    variance = (deviations.colwise().squaredNorm().transpose() - left.cwiseAbs2() / n) / (n - 1);
  }
};

template <class S>
Matrix<S> normal_samples(Index rows, Index features, double mean, double deviation, std::uint64_t seed) {
  vbp::Random random(seed);
  return Matrix<S>::NullaryExpr(rows, features,
                                [&] { return static_cast<S>(mean + deviation * random.normal()); });
}

template <class T, class S>
Statistics<T> statistics_of(const Matrix<S>& samples, Index chunk = 0) {
  Statistics<T> statistics(samples.cols());
  if (chunk == 0) chunk = samples.rows();
  for (Index row = 0; row < samples.rows(); row += chunk) {
    statistics.observe(samples.middleRows(row, std::min(chunk, samples.rows() - row)));
  }
  return statistics;
}

/// The largest relative error of the variances.
template <class T>
double variance_error(const Statistics<T>& statistics, const TwoPass& exact) {
  const Vector<long double> variance = statistics.variance().template cast<long double>();
  return static_cast<double>(((variance - exact.variance).array() / exact.variance.array()).abs().maxCoeff());
}

/// The largest error of the means in standard deviations.
template <class T>
double mean_error(const Statistics<T>& statistics, const TwoPass& exact) {
  const Vector<long double> mean = statistics.mean().template cast<long double>();
  return static_cast<double>(((mean - exact.mean).array() / exact.variance.array().sqrt()).abs().maxCoeff());
}

template <class T>
bool same_bits(const Statistics<T>& a, const Statistics<T>& b) {
  return a.count() == b.count() && a.mean() == b.mean() && a.m2() == b.m2();
}

template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const vbp::Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

}  // namespace

TEST_CASE("mean and variance by hand", "[stats]") {
  Matrix<double> samples(4, 3);
  samples << 1, 5, -1, 2, 5, 0, 3, 5, 1, 6, 5, 8;
  Statistics<double> statistics(3);
  CHECK(statistics.features() == 3);
  CHECK(statistics.count() == 0);
  CHECK(statistics.mean() == Vector<double>(Eigen::Vector3d(0, 0, 0)));
  statistics.observe(samples);
  CHECK(statistics.count() == 4);
  CHECK(statistics.mean() == Vector<double>(Eigen::Vector3d(3, 5, 2)));
  CHECK(statistics.m2() == Vector<double>(Eigen::Vector3d(14, 0, 50)));
  CHECK(statistics.variance() == Vector<double>(Eigen::Vector3d(14.0 / 3, 0, 50.0 / 3)));
}

TEMPLATE_TEST_CASE("the variance of a large mean keeps its digits", "[stats]", float, double) {
  // One observation of all rows, and many of some: blocks of one row, of a few, and around the 256 that are
  // reduced together.
  const Matrix<TestType> samples = normal_samples<TestType>(10'000, 5, 1e6, 1.0, 1);
  const TwoPass exact(samples);
  for (const Index chunk : {10'000, 1, 7, 255, 256, 257, 3000}) {
    INFO("chunks of " << chunk);
    const auto statistics = statistics_of<double>(samples, chunk);
    CHECK(variance_error(statistics, exact) <= 1e-10);
    // Each join rounds the mean to its own last place, 1e-10, either way; of 10,000 joins a hundred times
    // that is left, hardly ever two hundred.
    CHECK(mean_error(statistics, exact) <= 2e-8);
  }
}

TEMPLATE_TEST_CASE("the variance of a mean like its deviation is exact to the last digits", "[stats]", float,
                   double) {
  const Matrix<TestType> samples = normal_samples<TestType>(10'000, 5, 1.0, 1.0, 2);
  const TwoPass exact(samples);
  for (const Index chunk : {10'000, 1, 7, 255, 256, 257, 3000}) {
    INFO("chunks of " << chunk);
    const auto statistics = statistics_of<double>(samples, chunk);
    CHECK(variance_error(statistics, exact) <= 1e-13);
    CHECK(mean_error(statistics, exact) <= 1e-14);
  }
}

TEST_CASE("an outlier in the first row costs no digits", "[stats]") {
  // The first row is what the first block is reduced around.
  Matrix<double> samples = normal_samples<double>(5'000, 4, 0.0, 1.0, 3);
  samples.row(0).setConstant(100.0);
  const TwoPass exact(samples);
  CHECK(variance_error(statistics_of<double>(samples), exact) <= 1e-12);
  CHECK(variance_error(statistics_of<double>(samples, 1), exact) <= 1e-12);
}

TEST_CASE("data that drift cost no digits", "[stats]") {
  Matrix<double> samples = normal_samples<double>(20'000, 3, 0.0, 1.0, 4);
  for (Index i = 0; i < samples.rows(); ++i) samples.row(i).array() += static_cast<double>(i) * 0.1;
  const TwoPass exact(samples);
  for (const Index chunk : {20'000, 1, 256, 1000}) {
    CHECK(variance_error(statistics_of<double>(samples, chunk), exact) <= 1e-13);
  }
}

TEST_CASE("statistics in single precision", "[stats]") {
  const Matrix<double> samples = normal_samples<double>(10'000, 5, 3.0, 1.0, 5);
  const TwoPass exact(samples);
  // Sums of at most 256 terms and forty joins, each rounded to 6e-8; the samples themselves to as much.
  const double tolerance = 300 * static_cast<double>(std::numeric_limits<float>::epsilon());
  CHECK(variance_error(statistics_of<float>(samples), exact) <= tolerance);
  CHECK(variance_error(statistics_of<float>(samples, 13), exact) <= tolerance);
  CHECK(variance_error(statistics_of<float>(Matrix<float>(samples.cast<float>())), exact) <= tolerance);
  CHECK(mean_error(statistics_of<float>(samples), exact) <= 1e-6);
  static_assert(std::is_same_v<Statistics<float>::Scalar, float>);
}

TEST_CASE("samples may be any Eigen expression", "[stats]") {
  const Matrix<double> samples = normal_samples<double>(300, 6, 1.0, 1.0, 6);
  const auto expected = statistics_of<double>(samples);
  const auto observed = [](const auto& expression) {
    Statistics<double> statistics(expression.cols());
    statistics.observe(expression);
    return statistics;
  };
  CHECK(same_bits(observed(2.0 * samples - samples), expected));
  const Eigen::MatrixXd column_major = samples;
  CHECK(same_bits(observed(column_major), expected));
  CHECK(same_bits(observed(column_major.topRows(300)), expected));
  Matrix<double> wide = Matrix<double>::Constant(302, 10, std::numeric_limits<double>::quiet_NaN());
  wide.block(1, 3, 300, 6) = samples;
  CHECK(same_bits(observed(wide.block(1, 3, 300, 6)), expected));
  const Eigen::Map<const Matrix<double>, 0, Eigen::OuterStride<>> map(wide.data() + 13, 300, 6,
                                                                      Eigen::OuterStride<>(10));
  CHECK(same_bits(observed(map), expected));
  CHECK(same_bits(observed(samples.array()), expected));
  const Matrix<double> transposed = samples.transpose();
  CHECK(same_bits(observed(transposed.transpose()), expected));
  // One row, as a vector.
  Statistics<double> by_row(6);
  for (Index i = 0; i < 300; ++i) by_row.observe(samples.row(i));
  CHECK(by_row.count() == 300);
  CHECK(variance_error(by_row, TwoPass(samples)) <= 1e-13);
  // Floats are converted without loss.
  const Matrix<float> floats = samples.cast<float>();
  CHECK(same_bits(observed(floats), observed(floats.cast<double>())));
}

TEST_CASE("every number of features", "[stats]") {
  // Around vectors, and around the 128 features that are one piece of work.
  for (const Index features : {1, 2, 3, 7, 8, 9, 17, 127, 128, 129, 255, 256, 257, 400}) {
    INFO(features << " features");
    const Matrix<float> samples = normal_samples<float>(270, features, -2.0, 3.0, 7);
    const TwoPass exact(samples);
    const auto statistics = statistics_of<double>(samples, 260);
    CHECK(statistics.count() == 270);
    CHECK(variance_error(statistics, exact) <= 1e-13);
    CHECK(mean_error(statistics, exact) <= 1e-14);
  }
}

TEST_CASE("the order of the samples matters by rounding alone", "[stats]") {
  Matrix<double> samples = normal_samples<double>(4'000, 3, 10.0, 1.0, 8);
  const TwoPass exact(samples);
  // Ascending, which makes every block's mean differ from all before, and descending.
  for (Index j = 0; j < 3; ++j) {
    Vector<double> column = samples.col(j);
    std::sort(column.begin(), column.end());
    samples.col(j) = column;
  }
  CHECK(variance_error(statistics_of<double>(samples), exact) <= 1e-13);
  const Matrix<double> descending = samples.colwise().reverse();
  CHECK(variance_error(statistics_of<double>(descending), exact) <= 1e-13);
  CHECK(variance_error(statistics_of<double>(descending, 100), exact) <= 1e-13);
}

TEST_CASE("merging equals one pass", "[stats]") {
  const Matrix<double> samples = normal_samples<double>(3'000, 4, 5.0, 2.0, 9);
  const TwoPass exact(samples);
  const auto part = [&](Index begin, Index end) {
    return statistics_of<double>(Matrix<double>(samples.middleRows(begin, end - begin)));
  };
  for (const auto& [first, second] : {std::pair<Index, Index>{1, 2}, {1, 2999}, {1000, 1001}, {1500, 1600}}) {
    auto merged = part(0, first);
    merged.merge(part(first, second));
    merged.merge(part(second, 3'000));
    CHECK(merged.count() == 3'000);
    CHECK(variance_error(merged, exact) <= 1e-13);
    CHECK(mean_error(merged, exact) <= 1e-14);
    // The other way round.
    auto reverse = part(second, 3'000);
    reverse.merge(part(first, second));
    reverse.merge(part(0, first));
    CHECK(variance_error(reverse, exact) <= 1e-13);
  }
}

TEST_CASE("merging with nothing changes nothing", "[stats]") {
  const Matrix<double> samples = normal_samples<double>(50, 3, 5.0, 2.0, 10);
  const auto all = statistics_of<double>(samples);
  auto merged = all;
  merged.merge(Statistics<double>(3));
  CHECK(same_bits(merged, all));
  Statistics<double> empty(3);
  empty.merge(all);
  CHECK(same_bits(empty, all));
  // With itself: the same mean, twice the second moment.
  merged.merge(merged);
  CHECK(merged.count() == 100);
  CHECK(merged.mean() == all.mean());
  CHECK(merged.m2() == Vector<double>(2.0 * all.m2()));
}

TEST_CASE("a constant feature has no variance at all", "[stats]") {
  const Matrix<double> samples = Matrix<double>::Constant(1'000, 9, 0.1);
  for (const Index chunk : {1'000, 1, 300}) {
    const auto statistics = statistics_of<double>(samples, chunk);
    CHECK(statistics.m2().isZero(0.0));
    CHECK(statistics.mean() == Vector<double>(Vector<double>::Constant(9, 0.1)));
  }
  // Nearly constant: rounding must not make it negative.
  Matrix<double> nearly = samples;
  for (Index i = 0; i < 1'000; ++i) nearly.row(i).array() *= 1.0 + static_cast<double>(i % 3) * kEpsilon;
  CHECK(statistics_of<double>(nearly).m2().minCoeff() >= 0.0);
  CHECK(statistics_of<float>(nearly, 3).m2().minCoeff() >= 0.0F);
}

TEST_CASE("no rows add nothing, one row adds a mean", "[stats]") {
  Statistics<double> statistics(2);
  statistics.observe(Matrix<double>(0, 2));
  CHECK(statistics.count() == 0);
  CHECK_THROWS_AS(statistics.variance(), ValueError);
  const Matrix<double> row = (Matrix<double>(1, 2) << 3, -4).finished();
  statistics.observe(row);
  CHECK(statistics.count() == 1);
  CHECK(statistics.mean() == Vector<double>(Eigen::Vector2d(3, -4)));
  CHECK(statistics.m2().isZero(0.0));
  CHECK(message_of([&] { (void)statistics.variance(); }) == "a variance needs two samples, there are 1");
  statistics.observe(Matrix<double>(0, 2));
  CHECK(statistics.count() == 1);
  statistics.observe(row);
  CHECK(statistics.variance().isZero(0.0));
}

TEMPLATE_TEST_CASE("NaN and infinity are refused by feature, and nothing is added", "[stats]", float,
                   double) {
  using Limits = std::numeric_limits<TestType>;
  const Matrix<TestType> good = normal_samples<TestType>(600, 300, 1.0, 1.0, 11);
  auto statistics = statistics_of<double>(good);
  const auto before = statistics;
  vbp::ThreadPool pool(3);
  const auto refused = [&](Index row, Index feature, TestType value) {
    Matrix<TestType> bad = good;
    bad(row, feature) = value;
    const std::string message = message_of([&] { statistics.observe(bad); });
    CHECK(same_bits(statistics, before));
    CHECK(message_of([&] { statistics.observe(bad, pool); }) == message);
    CHECK(same_bits(statistics, before));
    return message;
  };
  CHECK(refused(0, 0, Limits::quiet_NaN()) == "feature 0 of sample 0 is NaN");
  CHECK(refused(599, 299, Limits::quiet_NaN()) == "feature 299 of sample 599 is NaN");
  CHECK(refused(300, 130, Limits::infinity()) == "feature 130 of sample 300 is infinite");
  CHECK(refused(7, 5, -Limits::infinity()) == "feature 5 of sample 7 is infinite");
  // Of several the first feature and its first sample, and the first observation as well as a later one.
  Matrix<TestType> bad = good;
  bad(9, 200) = Limits::quiet_NaN();
  bad(20, 33) = Limits::infinity();
  bad(30, 33) = Limits::quiet_NaN();
  Statistics<double> fresh(300);
  CHECK(message_of([&] { fresh.observe(bad); }) == "feature 33 of sample 20 is infinite");
  CHECK(fresh.count() == 0);
  CHECK(fresh.mean().isZero(0.0));
  CHECK_THROWS_AS(fresh.observe(bad), ValueError);
}

TEST_CASE("a variance that overflows is refused", "[stats]") {
  Matrix<double> samples = Matrix<double>::Ones(3, 2);
  samples(1, 1) = 1e200;
  Statistics<double> statistics(2);
  CHECK(message_of([&] { statistics.observe(samples); }) == "the variance of feature 1 overflows");
  CHECK(statistics.count() == 0);
  // What a double holds a float may not.
  Statistics<float> single(2);
  samples(1, 1) = 1e25;
  CHECK(message_of([&] { single.observe(samples); }) == "the variance of feature 1 overflows");
  CHECK_THROWS_AS(single.observe(samples), ValueError);
  CHECK_NOTHROW(statistics.observe(samples));
  CHECK(single.count() == 0);
}

TEST_CASE("shapes that do not fit are refused", "[stats]") {
  CHECK(message_of([] { Statistics<double>(0); }) == "statistics need at least one feature, not 0");
  CHECK_THROWS_AS(Statistics<double>(-3), ShapeError);
  Statistics<double> statistics(3);
  CHECK_THROWS_AS(statistics.observe(Matrix<double>::Ones(4, 2)), ShapeError);
  CHECK_THROWS_AS(statistics.observe(Matrix<double>(0, 4)), ShapeError);
  CHECK(message_of([&] { statistics.observe(Matrix<float>::Ones(4, 2)); }) ==
        "samples of 2 features for statistics of 3");
  CHECK_THROWS_AS(statistics.merge(Statistics<double>(2)), ShapeError);
  CHECK(message_of([&] { statistics.merge(Statistics<double>(4)); }) ==
        "cannot merge statistics of 4 features into 3");
  CHECK(statistics.count() == 0);
}

TEST_CASE("statistics go on from moments that were kept", "[stats]") {
  const Matrix<double> samples = normal_samples<double>(500, 3, 1.0, 1.0, 12);
  const auto all = statistics_of<double>(samples, 200);
  const auto first = statistics_of<double>(Matrix<double>(samples.topRows(400)), 200);
  auto resumed = Statistics<double>::from_moments(first.count(), first.mean(), first.m2());
  CHECK(same_bits(resumed, first));
  resumed.observe(samples.bottomRows(100));
  CHECK(same_bits(resumed, all));
  const auto none = Statistics<double>::from_moments(0, Vector<double>::Zero(3), Vector<double>::Zero(3));
  CHECK(none.count() == 0);
}

TEST_CASE("moments that cannot be are refused", "[stats]") {
  const Vector<double> zeros = Vector<double>::Zero(3);
  const Vector<double> ones = Vector<double>::Ones(3);
  const auto message = [](std::int64_t count, const Vector<double>& mean, const Vector<double>& m2) {
    return message_of([&] { (void)Statistics<double>::from_moments(count, mean, m2); });
  };
  CHECK(message(5, ones, Vector<double>::Ones(2)) == "a mean of 3 features and a second moment of 2");
  CHECK_THROWS_AS(Statistics<double>::from_moments(5, ones, Vector<double>::Ones(2)), ShapeError);
  CHECK_THROWS_AS(Statistics<double>::from_moments(5, Vector<double>(), Vector<double>()), ShapeError);
  CHECK(message(-1, ones, ones) == "a negative sample count: -1");
  for (const double value :
       {-1e-300, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Vector<double> m2 = ones;
    m2[2] = value;
    CHECK(message(5, ones, m2) == "feature 2 has no valid moments");
  }
  Vector<double> mean = ones;
  mean[1] = std::numeric_limits<double>::quiet_NaN();
  CHECK(message(5, mean, ones) == "feature 1 has no valid moments");
  CHECK_THROWS_AS(Statistics<double>::from_moments(5, mean, ones), ValueError);
  CHECK(message(0, ones, zeros) == "moments that are not zero, of no samples");
  CHECK(message(0, zeros, ones) == "moments that are not zero, of no samples");
}

TEST_CASE("any number of threads gives the same bits", "[stats]") {
  for (const Index features : {1, 127, 128, 300, 1536}) {
    const Matrix<float> samples = normal_samples<float>(700, features, 0.3, 1.0, 13);
    const auto expected = statistics_of<double>(samples, 333);
    for (const int threads : {1, 2, 3, 5, 8}) {
      vbp::ThreadPool pool(threads);
      Statistics<double> statistics(features);
      for (Index row = 0; row < 700; row += 333) {
        statistics.observe(samples.middleRows(row, std::min<Index>(333, 700 - row)), pool);
      }
      INFO(features << " features, " << threads << " threads");
      CHECK(same_bits(statistics, expected));
    }
  }
}

TEST_CASE("counts have 64 bits", "[stats]") {
  // 3e9 samples, as 2^31 and 2^32 are passed by: half of them 0 and half of them 2 so far.
  const std::int64_t half = 3'000'000'000;
  const auto part = [&](double value) {
    return Statistics<double>::from_moments(half, Vector<double>::Constant(1, value),
                                            Vector<double>::Zero(1));
  };
  auto statistics = part(0.0);
  statistics.merge(part(2.0));
  CHECK(statistics.count() == 6'000'000'000);
  CHECK(statistics.mean()[0] == 1.0);
  CHECK(statistics.variance()[0] == Approx(6e9 / (6e9 - 1)).epsilon(4 * kEpsilon));
  statistics.observe(Matrix<double>::Constant(2, 1, 1.0));
  CHECK(statistics.count() == 6'000'000'002);
  CHECK(statistics.m2()[0] == Approx(6e9).epsilon(4 * kEpsilon));
}
