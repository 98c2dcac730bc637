#include "vbp/kernels/layer_norm.hpp"

#include <cmath>
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

/// Weight, bias and epsilon of a layer norm. None of them is a neutral value.
template <class T>
struct Parameters {
  GuardedMatrix<T> weight, bias;
  T epsilon = T(1e-3);

  Parameters(Index columns, vbp::Random& random) : weight(1, columns, 0, 1), bias(1, columns, 0, 3) {
    weight.fill(random);
    bias.fill(random);
  }
};

template <class T>
void run(const GuardedMatrix<T>& x, const Parameters<T>& p, GuardedMatrix<T>& out, int threads = 1) {
  kernels::Workspace<T> workspace(threads);
  kernels::layer_norm(x.data(), x.stride(), x.rows(), x.columns(), p.weight.data(), p.bias.data(), p.epsilon,
                      out.data(), out.stride(), workspace);
}

/// The largest error divided by its bound. With n columns and deviation s, the mean has an error d <= n u
/// mean |x|. The variance has n + 3 roundings and the error d^2. A normalised value z has the error d / s,
/// half of the variance's relative error and four roundings. The result has two more roundings.
template <class T>
double worst_error(const GuardedMatrix<T>& x, const Parameters<T>& p, const GuardedMatrix<T>& out) {
  using O = Oracle<T>;
  const Index columns = x.columns();
  const Matrix<O> exact = x.template values<O>();
  const Matrix<O> weight = p.weight.template values<O>();
  const Matrix<O> bias = p.bias.template values<O>();
  Matrix<O> expected(x.rows(), columns);
  kernels::reference::layer_norm(exact.data(), columns, x.rows(), columns, weight.data(), bias.data(),
                                 O(p.epsilon), expected.data(), columns);
  vbp_test::WorstError<T> worst;
  for (Index i = 0; i < x.rows(); ++i) {
    const O mean = exact.row(i).mean();
    const O variance = (exact.row(i).array() - mean).square().mean() + O(p.epsilon);
    const O n = static_cast<O>(columns);
    const O shift = n * kUnit<T> * exact.row(i).cwiseAbs().mean() / std::sqrt(variance);
    const O spread = (n + 3) * kUnit<T> + shift * shift;
    for (Index j = 0; j < columns; ++j) {
      const O z = std::abs(exact(i, j) - mean) / std::sqrt(variance);
      const O error = shift + z * (spread / 2 + 4 * kUnit<T>);
      const O magnitude = std::abs(weight(0, j)) * z + std::abs(bias(0, j));
      worst.add(out(i, j), expected(i, j), std::abs(weight(0, j)) * error + 2 * kUnit<T> * magnitude);
    }
  }
  return worst.value();
}

}  // namespace

TEMPLATE_TEST_CASE("layer norm of every width, alignment and stride", "[kernels][layer_norm]", float,
                   double) {
  vbp::Random random(1);
  for (Index columns = 1; columns <= 70; ++columns) {
    for (Index offset = 0; offset < 17; offset += 3) {
      INFO(columns << " columns, " << offset << " behind a cache line");
      GuardedMatrix<TestType> x(3, columns, offset % 5, offset);
      x.fill(random);
      const Parameters<TestType> p(columns, random);
      GuardedMatrix<TestType> out(3, columns, (offset + 2) % 4, offset / 2);
      run(x, p, out);
      REQUIRE(worst_error(x, p, out) <= 1.0);
      REQUIRE(out.intact());
      // In place, the result must be bitwise the same.
      run(x, p, x);
      REQUIRE(x.values() == out.values());
      REQUIRE(x.intact());
    }
  }
}

TEMPLATE_TEST_CASE("layer norm of the widths of real models", "[kernels][layer_norm]", float, double) {
  vbp::Random random(2);
  for (const Index columns : {192, 384, 768, 1024, 1000, 20000}) {
    INFO(columns << " columns");
    GuardedMatrix<TestType> x(5, columns, 7, 2);
    x.fill(random);
    const Parameters<TestType> p(columns, random);
    GuardedMatrix<TestType> out(5, columns, 3);
    run(x, p, out);
    CHECK(worst_error(x, p, out) <= 1.0);
    CHECK(out.intact());
  }
}

TEMPLATE_TEST_CASE("layer norm of a small deviation around a large mean", "[kernels][layer_norm]", float,
                   double) {
  // The values are whole numbers whose deviations cancel, so sums, mean and deviations are exact in any
  // order. Only a variance computed as a difference of squares would lose digits, because 20000^2 = 4e8 is
  // much larger than 2.
  const Index columns = 384;
  vbp::Random random(3);
  GuardedMatrix<TestType> x(1, columns);
  for (Index j = 0; j < columns; ++j) x(0, j) = TestType(20000 + (j % 2 == 0 ? 1 : -1) * (1 + j / 2 % 2));
  Parameters<TestType> p(columns, random);
  GuardedMatrix<TestType> out(1, columns);
  run(x, p, out);
  const double deviation = std::sqrt(2.5 + double{p.epsilon});
  for (Index j = 0; j < columns; ++j) {
    const double z = (double{x(0, j)} - 20000) / deviation;
    const double magnitude = std::abs(double{p.weight(0, j)} * z) + std::abs(double{p.bias(0, j)});
    CHECK(std::abs(double{out(0, j)} - (double{p.weight(0, j)} * z + double{p.bias(0, j)})) <=
          8.0 * static_cast<double>(kUnit<TestType>) * magnitude);
  }
}

TEMPLATE_TEST_CASE("layer norm of a constant is the bias", "[kernels][layer_norm]", float, double) {
  vbp::Random random(4);
  const Parameters<TestType> p(37, random);
  GuardedMatrix<TestType> x(2, 37);
  for (Index j = 0; j < 37; ++j) x(0, j) = TestType(8), x(1, j) = TestType(0);
  GuardedMatrix<TestType> out(2, 37);
  run(x, p, out);
  for (Index j = 0; j < 37; ++j) {
    CHECK(out(0, j) == p.bias(0, j));
    CHECK(out(1, j) == p.bias(0, j));
  }
}

TEMPLATE_TEST_CASE("layer norm gives the same bits for any number of threads", "[kernels][layer_norm]", float,
                   double) {
  vbp::Random random(5);
  // Rows that form many tasks, rows that are one task each, and fewer rows than threads.
  for (const auto& [rows, columns] : {std::pair<Index, Index>{211, 384}, {7, 16400}, {2, 50}, {0, 8}}) {
    GuardedMatrix<TestType> x(rows, columns, 1);
    x.fill(random);
    const Parameters<TestType> p(columns, random);
    GuardedMatrix<TestType> expected(rows, columns);
    run(x, p, expected);
    for (const int threads : {2, 3, 8}) {
      GuardedMatrix<TestType> out(rows, columns);
      run(x, p, out, threads);
      CHECK(out.values() == expected.values());
      CHECK(out.intact());
    }
  }
}
