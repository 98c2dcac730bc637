#include "vbp/kernels/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

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

struct AttentionShape {
  Index images, tokens, heads, head_dim;

  Index rows() const { return images * tokens; }
  Index dim() const { return heads * head_dim; }
};

template <class T>
GuardedMatrix<T> attend(const GuardedMatrix<T>& qkv, const AttentionShape& shape, int threads = 1) {
  GuardedMatrix<T> out(shape.rows(), shape.dim(), shape.tokens % 4, 1);
  kernels::Workspace<T> workspace(threads);
  kernels::attention(qkv.data(), shape.images, shape.tokens, shape.heads, shape.head_dim, out.data(),
                     out.stride(), workspace);
  CHECK(out.intact());
  return out;
}

/// The largest error divided by its bound. A scaled score has an error e <= (d + 3) u |q| |k| / sqrt(d),
/// which is also the relative error that it causes in its power. A weight has twice the largest of these
/// errors, plus the errors of exp, whose arguments are below 2 |q| |k| / sqrt(d) and are rounded four times,
/// plus the error of the sum. The weighted sum of the values adds its own roundings.
template <class T>
double worst_error(const GuardedMatrix<T>& qkv, const AttentionShape& shape, const GuardedMatrix<T>& out) {
  using O = Oracle<T>;
  constexpr O exp_error = std::is_same_v<T, float> ? O(2e-7) : 4 * kUnit<T>;
  const Matrix<O> exact = qkv.template values<O>();
  const Index dim = shape.dim();
  Matrix<O> expected(shape.rows(), dim);
  kernels::reference::attention(exact.data(), shape.images, shape.tokens, shape.heads, shape.head_dim,
                                expected.data());
  // The weights applied to the magnitudes of the values.
  Matrix<O> magnitudes = exact;
  magnitudes.rightCols(dim) = magnitudes.rightCols(dim).cwiseAbs().eval();
  Matrix<O> weighted(shape.rows(), dim);
  kernels::reference::attention(magnitudes.data(), shape.images, shape.tokens, shape.heads, shape.head_dim,
                                weighted.data());
  vbp_test::WorstError<T> worst;
  for (Index image = 0; image < shape.images; ++image) {
    for (Index head = 0; head < shape.heads; ++head) {
      const auto part = [&](Index which) {
        return exact.block(image * shape.tokens, which * dim + head * shape.head_dim, shape.tokens,
                           shape.head_dim);
      };
      const O largest_key = part(1).rowwise().norm().maxCoeff();
      for (Index i = 0; i < shape.tokens; ++i) {
        const O score = part(0).row(i).norm() * largest_key / std::sqrt(static_cast<O>(shape.head_dim));
        const O relative = 2 * static_cast<O>(shape.head_dim + 3) * kUnit<T> * score + 2 * exp_error +
                           16 * kUnit<T> * score + static_cast<O>(2 * shape.tokens + 4) * kUnit<T>;
        const Index row = image * shape.tokens + i;
        for (Index j = head * shape.head_dim; j < (head + 1) * shape.head_dim; ++j) {
          worst.add(out(row, j), expected(row, j), relative * weighted(row, j));
        }
      }
    }
  }
  return worst.value();
}

template <class T>
void check_attention(const AttentionShape& shape, vbp::Random& random, int threads = 1) {
  INFO(shape.images << " images of " << shape.tokens << " tokens, " << shape.heads << " heads of "
                    << shape.head_dim << ", " << threads << " threads");
  GuardedMatrix<T> qkv(shape.rows(), 3 * shape.dim(), 0, shape.tokens % 17);
  qkv.fill(random);
  REQUIRE(worst_error(qkv, shape, attend(qkv, shape, threads)) <= 1.0);
}

}  // namespace

TEMPLATE_TEST_CASE("attention of every number of tokens", "[kernels][attention]", float, double) {
  vbp::Random random(1);
  // These numbers include the sizes of tiles (6 and 14 queries), of blocks (four tiles) and of panels (4 to
  // 32 keys), and the numbers next to them.
  for (Index tokens = 1; tokens <= 66; ++tokens) check_attention<TestType>({1, tokens, 2, 5}, random);
  for (const Index tokens : {111, 112, 113, 197, 401}) check_attention<TestType>({1, tokens, 1, 16}, random);
}

TEMPLATE_TEST_CASE("attention of heads of every width", "[kernels][attention]", float, double) {
  vbp::Random random(2);
  for (const Index head_dim : {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 200, 400}) {
    check_attention<TestType>({1, 19, 2, head_dim}, random);
  }
}

TEMPLATE_TEST_CASE("attention of several images and heads", "[kernels][attention]", float, double) {
  vbp::Random random(3);
  for (const Index images : {1, 2, 5}) {
    for (const Index heads : {1, 3, 6}) {
      for (const int threads : {1, 4}) {
        check_attention<TestType>({images, 17, heads, 11}, random, threads);
      }
    }
  }
}

TEMPLATE_TEST_CASE("attention gives the same bits for any number of threads", "[kernels][attention]", float,
                   double) {
  vbp::Random random(4);
  // Includes fewer heads than threads, and fewer tokens than there could be blocks.
  for (const AttentionShape& shape :
       {AttentionShape{1, 130, 1, 20}, {1, 3, 1, 8}, {1, 1, 1, 4}, {2, 50, 3, 16}}) {
    GuardedMatrix<TestType> qkv(shape.rows(), 3 * shape.dim());
    qkv.fill(random);
    const Matrix<TestType> expected = attend(qkv, shape).values();
    for (const int threads : {2, 3, 5, 8}) {
      INFO(shape.tokens << " tokens, " << threads << " threads");
      CHECK(attend(qkv, shape, threads).values() == expected);
    }
  }
}

TEMPLATE_TEST_CASE("an image attends to itself alone, to the bit", "[kernels][attention]", float, double) {
  vbp::Random random(5);
  const AttentionShape both{2, 21, 2, 10}, one{1, 21, 2, 10};
  GuardedMatrix<TestType> qkv(both.rows(), 3 * both.dim());
  qkv.fill(random);
  GuardedMatrix<TestType> second(one.rows(), 3 * one.dim());
  second.assign(qkv.values().bottomRows(21));
  const Matrix<TestType> expected = attend(second, one).values();
  CHECK(Matrix<TestType>(attend(qkv, both).values().bottomRows(21)) == expected);
}

TEMPLATE_TEST_CASE("attention writes dense rows where no stride is given", "[kernels][attention]", float,
                   double) {
  vbp::Random random(9);
  const AttentionShape shape{2, 7, 2, 5};
  GuardedMatrix<TestType> qkv(shape.rows(), 3 * shape.dim());
  qkv.fill(random);
  GuardedMatrix<TestType> out(shape.rows(), shape.dim());
  kernels::Workspace<TestType> workspace(1);
  kernels::attention(qkv.data(), 2, 7, 2, 5, out.data(), workspace);
  CHECK(out.values() == attend(qkv, shape).values());
  CHECK(out.intact());
}

TEMPLATE_TEST_CASE("attention to a single token is its value", "[kernels][attention]", float, double) {
  vbp::Random random(6);
  const AttentionShape shape{3, 1, 2, 9};
  GuardedMatrix<TestType> qkv(3, 54);
  qkv.fill(random);
  const GuardedMatrix<TestType> out = attend(qkv, shape);
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 18; ++j) CHECK(out(i, j) == qkv(i, 36 + j));
  }
}

TEMPLATE_TEST_CASE("huge scores choose one value, equal ones average", "[kernels][attention]", float,
                   double) {
  vbp::Random random(7);
  const Index tokens = 37;
  const AttentionShape shape{1, tokens, 1, 8};
  GuardedMatrix<TestType> qkv(tokens, 24);
  qkv.fill(random);
  // For every second query, key 30 has the score 1e20 and all other keys have -1e20. The other queries have
  // equal scores for all keys.
  for (Index i = 0; i < tokens; ++i) {
    for (Index j = 0; j < 16; ++j) qkv(i, j) = TestType(0);
    qkv(i, 0) = i % 2 == 0 ? TestType(1e10) : TestType(0);
    qkv(i, 8) = i == 30 ? TestType(1e10) : TestType(-1e10);
  }
  const GuardedMatrix<TestType> out = attend(qkv, shape);
  const Matrix<double> mean = qkv.template values<double>().rightCols(8).colwise().mean();
  for (Index i = 0; i < tokens; ++i) {
    for (Index j = 0; j < 8; ++j) {
      if (i % 2 == 0) {
        CHECK(out(i, j) == qkv(30, 16 + j));
      } else {
        CHECK(double{out(i, j)} == Approx(mean(0, j)).margin(1e-6));
      }
    }
  }
}

TEMPLATE_TEST_CASE("a NaN in the values is seen", "[kernels][attention]", float, double) {
  vbp::Random random(8);
  const AttentionShape shape{1, 5, 1, 3};
  GuardedMatrix<TestType> qkv(5, 9);
  qkv.fill(random);
  qkv(3, 7) = std::numeric_limits<TestType>::quiet_NaN();
  const GuardedMatrix<TestType> out = attend(qkv, shape);
  for (Index i = 0; i < 5; ++i) {
    CHECK(std::isfinite(out(i, 0)));
    CHECK(std::isnan(out(i, 1)));
    CHECK(std::isfinite(out(i, 2)));
  }
}
