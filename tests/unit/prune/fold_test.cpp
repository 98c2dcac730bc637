#include "vbp/prune/compensate/fold.hpp"

#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/mlp.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::ShapeError;
using vbp::ValueError;
using vbp::Vector;
using vbp_test::gaussian;
using Indices = std::vector<Index>;

vbp::Mlp<double> random_mlp(vbp::Random& random, Index in, Index hidden, Index out) {
  return {gaussian(random, hidden, in), gaussian(random, hidden, 1), gaussian(random, out, hidden),
          gaussian(random, out, 1)};
}

/// A block that returns its weights by value: views of them must not outlive the call.
struct ByValue {
  using Scalar = float;
  Matrix<float> w1, w2;
  Vector<float> b1, b2;

  Matrix<float> fc1_weight() const { return w1; }
  Vector<float> fc1_bias() const { return b1; }
  Matrix<float> fc2_weight() const { return w2; }
  Vector<float> fc2_bias() const { return b2; }
  void set_weights(Matrix<float> fc1_weight, Vector<float> fc1_bias, Matrix<float> fc2_weight,
                   Vector<float> fc2_bias) {
    w1 = fc1_weight;
    b1 = fc1_bias;
    w2 = fc2_weight;
    b2 = fc2_bias;
  }
};

}  // namespace

TEST_CASE("complement is what is not kept", "[fold]") {
  CHECK(vbp::complement(Indices{1, 3}, 5) == Indices{0, 2, 4});
  CHECK(vbp::complement(Indices{}, 3) == Indices{0, 1, 2});
  CHECK(vbp::complement(Indices{0, 1, 2}, 3).empty());
}

TEST_CASE("indices must ascend within range", "[fold]") {
  CHECK_THROWS_AS(vbp::complement(Indices{2, 1}, 5), ValueError);
  CHECK_THROWS_AS(vbp::complement(Indices{1, 1}, 5), ValueError);
  CHECK_THROWS_AS(vbp::complement(Indices{-1, 1}, 5), ValueError);
  CHECK_THROWS_WITH(vbp::complement(Indices{1, 5}, 5), "index 5 is outside [0, 5)");
  CHECK_THROWS_WITH(vbp::complement(Indices{3, 1}, 5),
                    "indices must ascend without repetition, but 1 follows 3");
}

TEST_CASE("rows, columns and elements are selected in order from any Eigen expression", "[fold]") {
  Matrix<int> m(3, 4);
  m << 0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23;
  Matrix<int> rows(2, 4), columns(3, 2);
  rows << 0, 1, 2, 3, 20, 21, 22, 23;
  columns << 1, 3, 11, 13, 21, 23;
  CHECK(vbp::select_rows(m, Indices{0, 2}) == rows);
  CHECK(vbp::select_columns(m, Indices{1, 3}) == columns);

  const Eigen::MatrixXi column_major = m;
  CHECK(vbp::select_rows(column_major, Indices{0, 2}) == rows);
  CHECK(vbp::select_columns(column_major, Indices{1, 3}) == columns);
  CHECK(vbp::select_columns(2 * m - m, Indices{1, 3}) == columns);
  CHECK(vbp::select_columns(m.rightCols(3), Indices{0, 2}) == columns);

  const Vector<int> v = m.col(1);
  CHECK(vbp::select(v, Indices{0, 2}) == Vector<int>(Eigen::Vector2i(1, 21)));
  CHECK(vbp::select(m.col(1), Indices{0, 2}) == Vector<int>(Eigen::Vector2i(1, 21)));
  CHECK(vbp::select(v, Indices{}).size() == 0);

  CHECK_THROWS_AS(vbp::select_rows(m, Indices{3}), ValueError);
  CHECK_THROWS_AS(vbp::select_columns(m, Indices{4}), ValueError);
  CHECK_THROWS_AS(vbp::select(v, Indices{3}), ValueError);
}

TEST_CASE("folded means, by hand", "[fold]") {
  Matrix<float> w2(2, 3);
  w2 << 1, 2, 3, 4, 5, 6;
  const Vector<float> b2 = Eigen::Vector2f(100, 200);
  const Vector<double> mean = Eigen::Vector3d(0.5, 7, 0.25);
  CHECK(vbp::fold_means(w2, b2, mean, Indices{0, 2}) == Vector<float>(Eigen::Vector2f(101.25F, 203.5F)));
  CHECK(vbp::fold_means(w2, b2, mean, Indices{}) == b2);
}

TEST_CASE("folding accumulates in double", "[fold]") {
  // 2^24 + 1 is no float: adding the ones one by one in float would leave 2^24.
  const Index n = 1024;
  const Matrix<float> w2 = Matrix<float>::Ones(1, n);
  const Vector<float> b2 = Vector<float>::Constant(1, 0x1p24F);
  Indices all(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) all[static_cast<std::size_t>(i)] = i;
  CHECK(vbp::fold_means(w2, b2, Vector<float>::Ones(n), all)(0) == 0x1p24F + 1024.0F);
}

TEST_CASE("folding refuses what does not fit", "[fold]") {
  const Matrix<float> w2 = Matrix<float>::Ones(2, 3);
  const Vector<float> b2 = Vector<float>::Ones(2);
  Vector<double> mean = Vector<double>::Ones(3);
  CHECK_THROWS_AS(vbp::fold_means(w2, Vector<float>::Ones(3), mean, Indices{0}), ShapeError);
  CHECK_THROWS_AS(vbp::fold_means(w2, b2, Vector<double>::Ones(2), Indices{0}), ShapeError);
  CHECK_THROWS_AS(vbp::fold_means(w2, b2, mean, Indices{3}), ValueError);
  mean(1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(vbp::fold_means(w2, b2, mean, Indices{0, 1}), "the mean of neuron 1 is not finite");
  CHECK_NOTHROW(vbp::fold_means(w2, b2, mean, Indices{0, 2}));
}

TEST_CASE("folding equals substituting the mean in the forward", "[fold]") {
  vbp::Random random(7);
  const Index in = 9, hidden = 33, out = 5, rows = 20;
  vbp::Mlp<double> mlp = random_mlp(random, in, hidden, out);
  const Matrix<double> x = gaussian(random, rows, in);
  const Vector<double> mean = gaussian(random, hidden, 1);
  const Indices kept{0, 1, 5, 8, 13, 21, 32};

  Matrix<double> h = mlp.hidden_activation(x);
  for (Index j = 0; j < hidden; ++j) {
    if (std::find(kept.begin(), kept.end(), j) == kept.end()) h.col(j).setConstant(mean(j));
  }
  const Matrix<double> expected = (h * mlp.fc2_weight().transpose()).rowwise() + mlp.fc2_bias().transpose();
  // A sum of `hidden` products is off by at most hidden * eps times the sum of their magnitudes.
  const double bound = 2 * static_cast<double>(hidden) * std::numeric_limits<double>::epsilon() *
                       ((h.cwiseAbs() * mlp.fc2_weight().cwiseAbs().transpose()).rowwise() +
                        mlp.fc2_bias().cwiseAbs().transpose())
                           .maxCoeff();

  vbp::fold_and_shrink(mlp, kept, mean);
  CHECK(mlp.hidden() == 7);
  CHECK(mlp.in() == in);
  CHECK(mlp.out() == out);
  CHECK((mlp(x) - expected).cwiseAbs().maxCoeff() <= bound);
}

TEST_CASE("pruning a constant neuron changes nothing beyond rounding", "[fold]") {
  vbp::Random random(8);
  const Index in = 6, hidden = 12, out = 4;
  vbp::Mlp<double> mlp = random_mlp(random, in, hidden, out);
  Matrix<double> w1 = mlp.fc1_weight();
  w1.row(3).setZero();
  w1.row(9).setZero();
  mlp.set_weights(w1, mlp.fc1_bias(), mlp.fc2_weight(), mlp.fc2_bias());
  const Matrix<double> x = gaussian(random, 50, in);
  const Matrix<double> dense = mlp(x);
  const Vector<double> mean = mlp.hidden_activation(x.topRows(1)).transpose();

  vbp::fold_and_shrink(mlp, Indices{0, 1, 2, 4, 5, 6, 7, 8, 10, 11}, mean);
  CHECK(mlp.hidden() == 10);
  CHECK((mlp(x) - dense).norm() <= 1e-14 * dense.norm());
}

TEST_CASE("shrinking alone leaves the bias", "[fold]") {
  vbp::Random random(9);
  vbp::Mlp<double> mlp = random_mlp(random, 3, 6, 2);
  const vbp::Mlp<double> dense = mlp;
  vbp::shrink(mlp, Indices{1, 4});
  CHECK(mlp.fc2_bias() == dense.fc2_bias());
  CHECK(mlp.fc1_weight().row(1) == dense.fc1_weight().row(4));
  CHECK(mlp.fc1_bias()(1) == dense.fc1_bias()(4));
  CHECK(mlp.fc2_weight().col(1) == dense.fc2_weight().col(4));
}

TEST_CASE("a refused block is unchanged", "[fold]") {
  vbp::Random random(10);
  vbp::Mlp<double> mlp = random_mlp(random, 3, 6, 2);
  const vbp::Mlp<double> dense = mlp;
  CHECK_THROWS_AS(vbp::shrink(mlp, Indices{1, 6}), ValueError);
  CHECK_THROWS_AS(vbp::fold_and_shrink(mlp, Indices{4, 1}, Vector<double>::Zero(6)), ValueError);
  CHECK_THROWS_AS(vbp::fold_and_shrink(mlp, Indices{1, 4}, Vector<double>::Zero(5)), ShapeError);
  CHECK(mlp.fc1_weight() == dense.fc1_weight());
  CHECK(mlp.fc2_weight() == dense.fc2_weight());
  CHECK(mlp.fc2_bias() == dense.fc2_bias());
}

TEST_CASE("a block may return its weights by value", "[fold]") {
  ByValue block{Matrix<float>::Random(8, 3), Matrix<float>::Random(2, 8), Vector<float>::Random(8),
                Vector<float>::Random(2)};
  const ByValue dense = block;
  CHECK(vbp::hidden_width(block) == 8);
  vbp::fold_and_shrink(block, Indices{0, 2, 3, 4, 5, 6, 7}, Vector<float>::Constant(8, 2.0F));
  CHECK(block.w1.bottomRows(6) == dense.w1.bottomRows(6));
  CHECK((block.b2 - (dense.b2 + 2.0F * dense.w2.col(1))).norm() <= 1e-6F);
}

TEST_CASE("a block whose shapes do not fit together is refused", "[fold]") {
  ByValue block{Matrix<float>::Zero(8, 3), Matrix<float>::Zero(2, 7), Vector<float>::Zero(8),
                Vector<float>::Zero(2)};
  CHECK_THROWS_AS(vbp::shrink(block, Indices{0}), ShapeError);
  block = {Matrix<float>::Zero(8, 3), Matrix<float>::Zero(2, 8), Vector<float>::Zero(7),
           Vector<float>::Zero(2)};
  CHECK_THROWS_AS(vbp::shrink(block, Indices{0}), ShapeError);
  block = {Matrix<float>::Zero(8, 3), Matrix<float>::Zero(2, 8), Vector<float>::Zero(8),
           Vector<float>::Zero(0)};
  CHECK_THROWS_WITH(vbp::hidden_width(block), "fc1 [8, 3] + [8] and fc2 [2, 8] + [0] do not fit together");
}
