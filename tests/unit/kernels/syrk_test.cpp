#include "vbp/kernels/syrk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

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

/// Adds the products of random deviations to random sums and compares the upper triangle with the reference.
/// A deviation has one rounding. A sum in T of n <= 256 products of two deviations has an error of n + 4
/// roundings of the summed magnitudes. The float64 sum of such sums and of the previous value has as many
/// roundings in float64 as there are sums.
template <class T, class S>
void check_products(Index rows, Index columns, Index gap, Index offset, int threads, vbp::Random& random) {
  using O = Oracle<T>;
  INFO(rows << " x " << columns << ", gap " << gap << ", offset " << offset << ", " << threads << " threads");
  GuardedMatrix<S> samples(rows, columns, gap, offset);
  samples.fill(random);
  GuardedMatrix<T> shift(1, columns, 0, 1);
  shift.fill(random);
  GuardedMatrix<double> products(columns, columns, gap, 0);
  products.fill(random);
  const Matrix<O> exact = samples.template values<O>();
  const Matrix<O> exact_shift = shift.template values<O>();
  Matrix<O> expected = products.template values<O>();
  Matrix<O> magnitude = expected.cwiseAbs();
  kernels::reference::add_deviation_products(exact.data(), rows, columns, columns, exact_shift.data(),
                                             expected.data(), columns);
  const Matrix<O> deviations = (exact.rowwise() - exact_shift.row(0)).cwiseAbs();
  magnitude += deviations.transpose() * deviations;

  vbp::ThreadPool pool(threads);
  const kernels::PackedDeviations<T> packed(samples.data(), rows, samples.stride(), columns, shift.data(),
                                            pool);
  packed.add_products(products.data(), products.stride(), pool);
  const O of_t = static_cast<O>(std::min<Index>(rows, 256) + 4) * kUnit<T>;
  const O of_double = static_cast<O>(rows / 256 + 2) * static_cast<O>(kUnit<double>);
  vbp_test::WorstError<double> worst;
  vbp_test::WorstError<double> worst_sum;
  for (Index i = 0; i < columns; ++i) {
    for (Index j = i; j < columns; ++j) {
      worst.add(products(i, j), static_cast<long double>(expected(i, j)),
                static_cast<long double>((of_t + of_double) * magnitude(i, j)));
    }
    const O sum = (exact.col(i).array() - exact_shift(0, i)).sum();
    worst_sum.add(packed.sum()[i], static_cast<long double>(sum),
                  static_cast<long double>((of_t + of_double * O(rows)) * deviations.col(i).sum()));
    REQUIRE(packed.products_fit(i));
  }
  REQUIRE(worst.value() <= 1.0);
  REQUIRE(worst_sum.value() <= 1.0);
  REQUIRE(products.intact());
}

}  // namespace

TEMPLATE_PRODUCT_TEST_CASE("products of deviations at every width and number of rows", "[kernels][syrk]",
                           std::pair, ((float, float), (float, double), (double, float), (double, double))) {
  using T = typename TestType::first_type;
  using S = typename TestType::second_type;
  vbp::Random random(1);
  for (Index columns = 1; columns <= 70; columns += (columns < 36 ? 1 : 7)) {
    for (const Index rows : {1, 2, 7, 16, 33}) {
      check_products<T, S>(rows, columns, (rows + columns) % 4, (3 * rows + columns) % 17,
                           static_cast<int>(1 + columns % 3), random);
    }
  }
  // With these numbers of rows, sums in T are added to float64 once or several times, after 256 samples or
  // fewer.
  for (const Index rows : {255, 256, 257, 600}) check_products<T, S>(rows, 37, 0, 0, 2, random);
}

TEST_CASE("what no product may overflow from is told before", "[kernels][syrk]") {
  vbp::ThreadPool pool(1);
  const float infinity = std::numeric_limits<float>::infinity();
  // One column each: normal values, a NaN, an infinity, a value too large to be squared, and the largest
  // value of which 256 squares can be summed.
  const float largest = std::sqrt(std::numeric_limits<float>::max() / 256.0F);
  const float samples[2][5] = {{1.0F, std::nanf(""), 1.0F, 1e20F, largest},
                               {2.0F, 1.0F, -infinity, 1.0F, 0.0F}};
  const float shift[5] = {};
  const kernels::PackedDeviations<float> packed(samples[0], 2, 5, 5, shift, pool);
  CHECK(packed.products_fit(0));
  CHECK_FALSE(packed.products_fit(1));
  CHECK_FALSE(packed.products_fit(2));
  CHECK_FALSE(packed.products_fit(3));
  CHECK(packed.products_fit(4));
}

TEST_CASE("products are the same for any number of threads", "[kernels][syrk]") {
  vbp::Random random(2);
  GuardedMatrix<float> samples(300, 75);
  samples.fill(random);
  GuardedMatrix<float> shift(1, 75);
  shift.fill(random);
  const auto products = [&](int threads) {
    vbp::ThreadPool pool(threads);
    Matrix<double> result = Matrix<double>::Zero(75, 75);
    kernels::PackedDeviations<float>(samples.data(), 300, samples.stride(), 75, shift.data(), pool)
        .add_products(result.data(), 75, pool);
    return result;
  };
  const Matrix<double> expected = products(1);
  CHECK(products(2) == expected);
  CHECK(products(5) == expected);
}

TEST_CASE("products with other columns and squares are those of all columns together", "[kernels][syrk]") {
  constexpr Index kRows = 600, kColumns = 250;
  vbp::Random random(3);
  GuardedMatrix<float> samples(kRows, kColumns);
  samples.fill(random);
  GuardedMatrix<float> shift(1, kColumns);
  shift.fill(random);
  vbp::ThreadPool pool(2);
  const auto pack = [&](Index first, Index count) {
    return kernels::PackedDeviations<float>(samples.data() + first, kRows, samples.stride(), count,
                                            shift.data() + first, pool);
  };
  Matrix<double> all = Matrix<double>::Zero(kColumns, kColumns);
  pack(0, kColumns).add_products(all.data(), kColumns, pool);
  CHECK(pack(0, kColumns).squares(pool) == all.diagonal());
  // The columns are split at and just after multiples of the vector widths.
  for (const Index first : {0, 1, 8, 9, 16, 17, 32, 33, static_cast<int>(kColumns)}) {
    const Index rest = kColumns - first;
    GuardedMatrix<double> cross(first, rest, 3);
    for (Index i = 0; i < first; ++i) std::fill_n(cross.data() + i * cross.stride(), rest, 1.0);
    pack(0, first).add_products(pack(first, rest), cross.data(), cross.stride(), pool);
    Index wrong = 0;
    for (Index i = 0; i < first; ++i) {
      for (Index j = 0; j < rest; ++j) wrong += cross(i, j) == 1.0 + all(i, first + j) ? 0 : 1;
    }
    CAPTURE(first);
    CHECK(wrong == 0);
    CHECK(cross.intact());
    CHECK(pack(first, rest).squares(pool) == all.diagonal().tail(rest));
  }
}
