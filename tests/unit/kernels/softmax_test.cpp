#include "vbp/kernels/softmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp_test::GuardedMatrix;
using vbp_test::kUnit;
using vbp_test::Oracle;
namespace kernels = vbp::kernels;

/// The relative error bound of exp.
template <class T>
constexpr Oracle<T> kExpError = std::is_same_v<T, float> ? Oracle<T>(2e-7) : 4 * kUnit<T>;

/// The largest weight that exp can return for a value whose true weight is zero.
constexpr double kFlushed = 2e-38;

/// Applies the kernel and returns the largest error divided by its bound. The argument of a power is rounded
/// four times (the difference, 1 / ln(2) times the scale, the product). So the relative error of a power is
/// four units of roundoff times its argument, plus the error of exp. The relative error of the sum of n
/// powers is the weighted average of these errors, plus n roundings. The quotient has both errors.
template <class T>
double worst_error(GuardedMatrix<T>& values, T scale) {
  const Index columns = values.columns();
  Matrix<Oracle<T>> expected = values.template values<Oracle<T>>();
  const Matrix<Oracle<T>> x = expected;
  kernels::reference::softmax(expected.data(), values.rows(), columns, columns, Oracle<T>(scale));
  kernels::softmax(values.data(), values.rows(), columns, values.stride(), scale);
  vbp_test::WorstError<T> worst;
  for (Index i = 0; i < values.rows(); ++i) {
    const Oracle<T> maximum = x.row(i).maxCoeff();
    const auto argument = [&](Index j) { return Oracle<T>(scale) * (maximum - x(i, j)); };
    Oracle<T> average = 0;
    for (Index j = 0; j < columns; ++j) average += expected(i, j) * argument(j);
    for (Index j = 0; j < columns; ++j) {
      const Oracle<T> relative = 2 * kExpError<T> + 4 * kUnit<T> * (argument(j) + average) +
                                 static_cast<Oracle<T>>(columns + 3) * kUnit<T>;
      worst.add(values(i, j), expected(i, j), relative * expected(i, j) + kFlushed);
    }
  }
  return worst.value();
}

template <class T>
std::vector<T> softmax(std::vector<T> row, T scale = T(1)) {
  const auto columns = static_cast<Index>(row.size());
  kernels::softmax(row.data(), 1, columns, columns, scale);
  return row;
}

}  // namespace

TEMPLATE_TEST_CASE("softmax of every width, alignment and stride", "[kernels][softmax]", float, double) {
  vbp::Random random(1);
  for (Index columns = 1; columns <= 70; ++columns) {
    for (Index offset = 0; offset < 17; offset += 3) {
      INFO(columns << " columns, " << offset << " behind a cache line");
      GuardedMatrix<TestType> values(3, columns, offset % 5, offset);
      values.fill(random);
      REQUIRE(worst_error(values, TestType(0.7)) <= 1.0);
      REQUIRE(values.intact());
    }
  }
}

TEMPLATE_TEST_CASE("rows of softmax sum to one", "[kernels][softmax]", float, double) {
  vbp::Random random(2);
  const double tolerance = sizeof(TestType) == 4 ? 1e-6 : 1e-14;
  for (const Index columns : {1, 2, 37, 197, 257, 1025, 4099}) {
    for (const double spread : {0.01, 1.0, 20.0}) {
      INFO(columns << " columns, a deviation of " << spread);
      GuardedMatrix<TestType> values(4, columns);
      values.fill(random);
      CHECK(worst_error(values, static_cast<TestType>(spread)) <= 1.0);
      const Matrix<long double> weights = values.template values<long double>();
      for (Index i = 0; i < 4; ++i) CHECK(std::abs(weights.row(i).sum() - 1.0L) <= tolerance);
    }
  }
}

TEMPLATE_TEST_CASE("softmax does not depend on what is common to a row", "[kernels][softmax]", float,
                   double) {
  // Small integers, so that nothing is rounded before exp.
  std::vector<TestType> row;
  for (int j = 0; j < 37; ++j) row.push_back(static_cast<TestType>(j % 11));
  const std::vector<TestType> expected = softmax(row, TestType(0.25));
  for (const TestType shift : {TestType(-40000), TestType(1000), TestType(0x1p22)}) {
    std::vector<TestType> shifted = row;
    for (TestType& value : shifted) value += shift;
    CHECK(softmax(shifted, TestType(0.25)) == expected);
  }
}

TEMPLATE_TEST_CASE("softmax of extreme rows", "[kernels][softmax]", float, double) {
  using Limits = std::numeric_limits<TestType>;
  for (const Index columns : {1, 3, 16, 37}) {
    const auto size = static_cast<std::size_t>(columns);
    for (const TestType value : {TestType(0), TestType(-5), TestType(1e4), TestType(-1e30), TestType(1e30),
                                 Limits::max(), Limits::lowest()}) {
      for (const TestType scale : {TestType(1), TestType(0.125), TestType(3)}) {
        INFO(columns << " times " << value << ", scale " << scale);
        for (const TestType weight : softmax(std::vector<TestType>(size, value), scale)) {
          REQUIRE(weight == Approx(1.0 / static_cast<double>(columns)).epsilon(1e-6));
        }
      }
    }
    // If one value is far above the others, it gets the whole weight, at any position.
    for (const TestType other : {TestType(0), TestType(-1e30), Limits::lowest()}) {
      for (std::size_t place = 0; place < size; ++place) {
        INFO(columns << " values, all " << other << " but number " << place);
        std::vector<TestType> row(size, other);
        row[place] = TestType(1e30);
        row = softmax(row, TestType(0.125));
        REQUIRE(row[place] == TestType(1));
        row[place] = TestType(0);
        REQUIRE(*std::max_element(row.begin(), row.end()) <= kFlushed);
      }
    }
  }
  // Masks use minus infinity; its weight must be zero.
  const std::vector<TestType> masked = softmax<TestType>({1, -Limits::infinity(), 1, 1, 1});
  CHECK(masked[0] == TestType(0.25));
  CHECK(masked[1] <= kFlushed);
  // A NaN must make its whole row NaN, at any position.
  for (std::size_t place = 0; place < 37; ++place) {
    std::vector<TestType> row(37, TestType(1));
    row[place] = Limits::quiet_NaN();
    for (const TestType weight : softmax(row)) REQUIRE(std::isnan(weight));
  }
}
