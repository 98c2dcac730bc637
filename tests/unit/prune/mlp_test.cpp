#include "vbp/prune/mlp.hpp"

#include <cmath>
#include <utility>

#include "support/catch.hpp"

namespace {

using vbp::Matrix;
using vbp::Mlp;
using vbp::ShapeError;
using vbp::Vector;

Mlp<double> two_to_three_to_one() {
  Matrix<double> w1(3, 2), w2(1, 3);
  Vector<double> b1(3), b2(1);
  w1 << 1, 0, 0, 1, 1, 1;
  b1 << 0, 0, 1;
  w2 << 1, 10, 100;
  b2 << 0.5;
  return {std::move(w1), std::move(b1), std::move(w2), std::move(b2)};
}

}  // namespace

TEST_CASE("Mlp computes PyTorch's exact GELU", "[mlp]") {
  const Mlp<double> mlp = two_to_three_to_one();
  Matrix<double> x(2, 2);
  x << 1, -1, 3, 0;
  // torch.nn.functional.gelu in float64 at 1, -1, 1 and 3, 0, 4.
  Matrix<double> expected(2, 3);
  expected << 0.841344746068543, -0.15865525393145702, 0.841344746068543,  //
      2.99595030590511, 0.0, 3.9998733150326675;
  const Matrix<double> h = mlp.hidden_activation(x);
  REQUIRE(h.rows() == 2);
  REQUIRE(h.cols() == 3);
  CHECK((h - expected).cwiseAbs().maxCoeff() < 4e-15);

  const Matrix<double> y = mlp(x);
  REQUIRE(y.rows() == 2);
  REQUIRE(y.cols() == 1);
  CHECK(y(0, 0) == Approx(0.841344746068543 - 1.5865525393145702 + 84.1344746068543 + 0.5).epsilon(1e-14));
  CHECK(y(1, 0) == Approx(2.99595030590511 + 399.98733150326675 + 0.5).epsilon(1e-14));
}

TEST_CASE("Mlp in float computes the same GELU", "[mlp]") {
  const Mlp<float> mlp(Matrix<float>::Constant(1, 1, 1), Vector<float>::Zero(1),
                       Matrix<float>::Constant(1, 1, 1), Vector<float>::Zero(1));
  // torch.nn.functional.gelu in float64; the kernel promises 2e-7 below one.
  CHECK(std::abs(mlp.hidden_activation(Matrix<float>::Constant(1, 1, -1.0F))(0, 0) + 0.15865525393145702) <=
        2e-7);
  CHECK(std::abs(mlp.hidden_activation(Matrix<float>::Constant(1, 1, -5.0F))(0, 0) + 1.4332578593401e-06) <=
        2e-7);
}

TEST_CASE("Mlp tells its widths", "[mlp]") {
  const Mlp<double> mlp = two_to_three_to_one();
  CHECK(mlp.in() == 2);
  CHECK(mlp.hidden() == 3);
  CHECK(mlp.out() == 1);
}

TEST_CASE("Mlp refuses shapes that do not fit together and stays as it was", "[mlp]") {
  using M = Matrix<float>;
  using V = Vector<float>;
  CHECK_THROWS_AS(Mlp<float>(M(3, 2), V(2), M(1, 3), V(1)), ShapeError);
  CHECK_THROWS_AS(Mlp<float>(M(3, 2), V(3), M(1, 2), V(1)), ShapeError);
  CHECK_THROWS_AS(Mlp<float>(M(3, 2), V(3), M(1, 3), V(2)), ShapeError);
  CHECK_THROWS_WITH(Mlp<float>(M(3, 2), V(3), M(1, 3), V(2)),
                    "Mlp: fc1 [3, 2] + [3] and fc2 [1, 3] + [2] do not fit together");

  Mlp<double> mlp = two_to_three_to_one();
  const Matrix<double> before = mlp.fc1_weight();
  CHECK_THROWS_AS(
      mlp.set_weights(Matrix<double>(2, 2), Vector<double>(2), Matrix<double>(1, 2), Vector<double>(3)),
      ShapeError);
  CHECK(mlp.fc1_weight() == before);
  CHECK_THROWS_AS(mlp(Matrix<double>(4, 3)), ShapeError);
}
