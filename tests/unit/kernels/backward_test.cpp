/// Compares the kernels for layer norm, attention, weight gradient, AdamW and norm with their scalar
/// references in double.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/kernels/adamw.hpp"
#include "vbp/kernels/attention_backward.hpp"
#include "vbp/kernels/layer_norm_backward.hpp"
#include "vbp/kernels/norm.hpp"
#include "vbp/kernels/reference_backward.hpp"
#include "vbp/kernels/weight_gradient.hpp"

namespace {

namespace kernels = vbp::kernels;
namespace reference = vbp::kernels::reference;
using kernels::Workspace;
using vbp::Index;
using vbp::Matrix;
using vbp::Vector;
using vbp_test::gaussian;

/// The distance of a result from the expected one, divided by the norm of the expected one and by T's
/// epsilon.
template <class T, class Values, class Expected>
double error_of(const Values& values, const Expected& expected) {
  const double scale = std::max(expected.norm(), std::numeric_limits<double>::min());
  return (values.template cast<double>() - expected).norm() / scale /
         static_cast<double>(std::numeric_limits<T>::epsilon());
}

template <class T>
void check_layer_norm(Index rows, Index columns) {
  INFO(rows << " x " << columns);
  const Matrix<T> x = gaussian<T>(1, rows, columns);
  const Matrix<T> gradient = gaussian<T>(2, rows, columns);
  const Vector<T> weight = gaussian<T>(3, columns, 1);
  const Matrix<T> before = gaussian<T>(4, rows, columns);
  Matrix<double> expected = before.template cast<double>();
  Vector<double> expected_weight(columns), expected_bias(columns);
  reference::layer_norm_backward<double>(Matrix<double>(x.template cast<double>()).data(),
                                         Matrix<double>(gradient.template cast<double>()).data(), rows,
                                         columns, Vector<double>(weight.template cast<double>()).data(), 1e-6,
                                         expected.data(), expected_weight.data(), expected_bias.data());
  Matrix<T> first;
  for (const int threads : {1, 3}) {
    Workspace<T> workspace(threads);
    std::vector<T> partial(static_cast<std::size_t>(kernels::layer_norm_backward_elements(rows, columns)));
    Matrix<T> result = before;
    Vector<T> d_weight(columns), d_bias(columns);
    kernels::layer_norm_backward(x.data(), gradient.data(), rows, columns, weight.data(), T(1e-6),
                                 result.data(), d_weight.data(), d_bias.data(), partial.data(), workspace);
    // The error of a sum over columns or rows of values near 1 is a few epsilons and grows with the root of
    // their number.
    const double bound = 4.0 + std::sqrt(static_cast<double>(std::max(rows, columns)));
    // A row with a single value has no variance, so its normalised value is exactly 0.
    if (columns > 1) CHECK(error_of<T>(result, expected) <= bound);
    if (columns > 1) CHECK(error_of<T>(d_weight, expected_weight) <= bound);
    // The bound is relative to the summands, because the sums themselves may be near zero.
    CHECK((d_bias.template cast<double>() - expected_bias).norm() <=
          bound * static_cast<double>(std::numeric_limits<T>::epsilon()) * gradient.norm());
    if (threads == 1) first = result;
    CHECK(result == first);
  }
}

template <class T>
void check_attention(Index images, Index tokens, Index heads, Index head_dim) {
  INFO(tokens << " tokens, " << heads << " heads of " << head_dim);
  const Index dim = heads * head_dim;
  const Matrix<T> qkv = gaussian<T>(5, images * tokens, 3 * dim);
  const Matrix<T> gradient = gaussian<T>(6, images * tokens, dim);
  Matrix<double> expected(images * tokens, 3 * dim);
  reference::attention_backward<double>(Matrix<double>(qkv.template cast<double>()).data(),
                                        Matrix<double>(gradient.template cast<double>()).data(), images,
                                        tokens, heads, head_dim, expected.data());
  for (const int threads : {1, 2}) {
    Workspace<T> workspace(threads);
    Matrix<T> result = Matrix<T>::Constant(images * tokens, 3 * dim, T(5));
    kernels::attention_backward(qkv.data(), gradient.data(), images, tokens, heads, head_dim, result.data(),
                                workspace);
    // The bound covers products of depth `tokens` and `head_dim` and a softmax with a relative error of 2e-7
    // (float).
    const double bound = 8.0 + 2.0 * std::sqrt(static_cast<double>(tokens + head_dim));
    CHECK(error_of<T>(result.rightCols(dim), Matrix<double>(expected.rightCols(dim))) <= bound);
    // A single token attends only to itself, so the gradient with respect to queries and keys is zero up to
    // rounding.
    if (tokens > 1)
      CHECK(error_of<T>(result.leftCols(2 * dim), Matrix<double>(expected.leftCols(2 * dim))) <= bound);
    if (tokens == 1) CHECK(result.leftCols(2 * dim).cwiseAbs().maxCoeff() <= T(1e-5));
  }
}

template <class T>
void check_weight_gradient(Index rows, Index out, Index in) {
  INFO(rows << " rows, " << out << " x " << in);
  const Matrix<T> gradient = gaussian<T>(7, rows, out);
  const Matrix<T> x = gaussian<T>(8, rows, in);
  Matrix<double> expected(out, in);
  Vector<double> expected_bias(out);
  reference::weight_gradient<double>(Matrix<double>(gradient.template cast<double>()).data(), out,
                                     Matrix<double>(x.template cast<double>()).data(), in, rows,
                                     expected.data(), expected_bias.data());
  kernels::WeightGradient<T> weight_gradient;
  Matrix<T> first;
  for (const int threads : {1, 3}) {
    Workspace<T> workspace(threads);
    Matrix<T> result = Matrix<T>::Constant(out, in, T(5));
    Vector<T> bias = Vector<T>::Constant(out, T(5));
    weight_gradient(gradient.data(), out, x.data(), in, rows, result.data(), bias.data(), workspace);
    const double bound = 4.0 + std::sqrt(static_cast<double>(rows));
    CHECK(error_of<T>(result, expected) <= bound);
    CHECK(error_of<T>(bias, expected_bias) <= bound);
    if (threads == 1) first = result;
    CHECK(result == first);
    Matrix<T> without_bias(out, in);
    weight_gradient(gradient.data(), out, x.data(), in, rows, without_bias.data(), nullptr, workspace);
    CHECK(without_bias == result);
  }
  CHECK(weight_gradient.bytes() >= kernels::WeightGradient<T>::bytes(out, in, rows));
}

}  // namespace

TEST_CASE("the backward pass of layer norm is the reference's") {
  for (const Index rows : {1, 2, 63, 64, 65, 130}) {
    // Two columns are left out: their normalised values are 1 and -1 for any x, so the gradient is only what
    // cancellation leaves.
    for (const Index columns : {1, 7, 16, 17, 33, 384}) {
      check_layer_norm<float>(rows, columns);
      check_layer_norm<double>(rows, columns);
    }
  }
}

TEST_CASE("the backward pass of attention is the reference's") {
  for (const Index tokens : {1, 2, 17, 37, 56, 57, 130}) {
    for (const Index head_dim : {1, 5, 16, 33, 64}) {
      check_attention<float>(2, tokens, 3, head_dim);
      check_attention<double>(1, tokens, 2, head_dim);
    }
  }
}

TEST_CASE("the gradient of a weight is the reference's") {
  for (const Index rows : {1, 5, 37, 1023, 1024, 1025, 2500}) {
    for (const auto& [out, in] : {std::pair<Index, Index>{1, 1}, {3, 40}, {33, 17}, {70, 32}}) {
      check_weight_gradient<float>(rows, out, in);
      check_weight_gradient<double>(rows, out, in);
    }
  }
}

TEST_CASE("a weight packed into old memory multiplies as a new one") {
  vbp::ThreadPool pool(3);
  Workspace<float> workspace(2);
  kernels::PackedWeight<float> packed;
  for (const auto& [out, in] : {std::pair<Index, Index>{70, 40}, {5, 3}, {64, 41}, {100, 90}}) {
    const Matrix<float> weight = gaussian<float>(9, out, in);
    const Matrix<float> transposed = weight.transpose();
    const Matrix<float> a = gaussian<float>(10, 20, in);
    Matrix<float> expected(20, out), result(20, out);
    kernels::gemm(a.data(), in, 20, kernels::PackedWeight<float>(weight), {}, expected.data(), out,
                  workspace);
    packed.assign(weight, pool);
    kernels::gemm(a.data(), in, 20, packed, {}, result.data(), out, workspace);
    CHECK(result == expected);
    packed.assign(Matrix<float>::Zero(out, in), pool);
    packed.assign_transposed(transposed, pool);
    kernels::gemm(a.data(), in, 20, packed, {}, result.data(), out, workspace);
    CHECK(result == expected);
    CHECK(packed.out() == out);
    CHECK(packed.in() == in);
  }
  CHECK_THROWS_AS(packed.assign(Matrix<float>(0, 3), pool), vbp::ShapeError);
  CHECK_THROWS_AS(packed.assign_transposed(Matrix<float>(3, 0), pool), vbp::ShapeError);
}

TEST_CASE("a step of AdamW is the reference's") {
  for (Index size = 0; size <= 70; ++size) {
    INFO(size);
    const Vector<float> gradient = gaussian<float>(11, size + 1, 1);
    Vector<float> first = gaussian<float>(12, size + 1, 1);
    Vector<float> second = gaussian<float>(13, size + 1, 1).cwiseAbs();
    Vector<float> values = gaussian<float>(14, size + 1, 1);
    const Vector<float> untouched = values;
    Vector<double> d_first = first.cast<double>(), d_second = second.cast<double>();
    Vector<double> d_values = values.cast<double>();
    const kernels::AdamWStep<float> step{0.5F, 0.875F, 0.9375F, 0.25F, 3.0F, 1e-8F, 0.75F};
    const kernels::AdamWStep<double> d_step{0.5, 0.875, 0.9375, 0.25, 3.0, 1e-8, 0.75};
    for (int repeat = 0; repeat < 3; ++repeat) {
      kernels::adamw_update(gradient.data(), size, step, first.data(), second.data(), values.data());
      reference::adamw_update(Vector<double>(gradient.cast<double>()).data(), size, d_step, d_first.data(),
                              d_second.data(), d_values.data());
    }
    for (Index i = 0; i < size; ++i) {
      // A few roundings per step of values near 1.
      CHECK(std::abs(first[i] - d_first[i]) <= 1e-6);
      CHECK(std::abs(second[i] - d_second[i]) <= 1e-6);
      CHECK(std::abs(values[i] - d_values[i]) <= 3e-6);
    }
    CHECK(values[size] == untouched[size]);
  }
}

TEST_CASE("the sum of squares is taken in double") {
  for (Index size = 0; size <= 70; ++size) {
    const Vector<float> values = gaussian<float>(15, size, 1);
    const double expected = reference::square_sum(values.data(), size);
    CHECK(std::abs(kernels::square_sum(values.data(), size) - expected) <= 1e-14 * expected);
  }
  // In single precision the ones would be lost, and the square would overflow.
  Vector<float> wide = Vector<float>::Ones(1000);
  wide[500] = 1e25F;
  CHECK(std::isfinite(kernels::square_sum(wide.data(), 1000)));
  wide[500] = 1e5F;
  CHECK(kernels::square_sum(wide.data(), 1000) == 1e10 + 999.0);
}
