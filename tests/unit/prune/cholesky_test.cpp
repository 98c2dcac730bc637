#include "vbp/prune/compensate/cholesky.hpp"

#include <limits>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"

namespace {

using vbp::Cholesky;
using vbp::Index;
using vbp::Matrix;
using vbp_test::gaussian;

/// X^T X of a few more rows than columns; what lies below the diagonal must not be read.
Matrix<double> positive_definite(vbp::Random& random, Index size) {
  const Matrix<double> x = gaussian(random, size + 20, size);
  return x.transpose() * x;
}

Matrix<double> upper_triangle(Matrix<double> matrix) {
  matrix.triangularView<Eigen::StrictlyLower>().setConstant(std::numeric_limits<double>::quiet_NaN());
  return matrix;
}

}  // namespace

TEST_CASE("a Cholesky decomposition solves X A = C", "[cholesky]") {
  vbp::Random random(1);
  vbp::kernels::Workspace<double> workspace(1);
  // One block, a whole number of them, and a last one of a single column.
  for (const Index size : {1, 7, 64, 65, 128, 193, 300}) {
    for (const Index rows : {1, 50}) {
      const Matrix<double> a = positive_definite(random, size), c = gaussian(random, rows, size);
      Cholesky<double> factor(upper_triangle(a), workspace);
      REQUIRE(factor.definite());
      const Matrix<double> x = factor.solve(c);
      CAPTURE(size, rows);
      // Backward stable: the residual is small whatever the condition of A.
      CHECK((x * a - c).norm() <= 1e-13 * (x.norm() * a.norm() + c.norm()));
      CHECK(factor.solve(c) == x);
    }
  }
  Cholesky<double> factor(positive_definite(random, 5), workspace);
  CHECK(factor.solve(Matrix<double>(0, 5)).rows() == 0);
}

TEST_CASE("the number of threads changes no bit of a Cholesky solution", "[cholesky]") {
  vbp::Random random(2);
  const Matrix<double> a = positive_definite(random, 200), c = gaussian(random, 90, 200);
  vbp::kernels::Workspace<double> one(1), three(3);
  CHECK(Cholesky<double>(a, one).solve(c) == Cholesky<double>(a, three).solve(c));
}

TEST_CASE("a Cholesky decomposition tells what is not positive definite", "[cholesky]") {
  vbp::Random random(3);
  vbp::kernels::Workspace<double> workspace(1);
  // In the first block and in a later one.
  for (const Index where : {0, 3, 80}) {
    for (const double value :
         {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Matrix<double> a = positive_definite(random, 100);
      a(where, where) = value;
      CAPTURE(where, value);
      CHECK_FALSE(Cholesky<double>(a, workspace).definite());
    }
  }
  CHECK_FALSE(Cholesky<double>(Matrix<double>::Zero(4, 4), workspace).definite());
}
