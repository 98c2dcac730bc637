#include "vbp/kernels/depthwise.hpp"

#include <utility>

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

struct ConvolutionShape {
  Index images, height, width, channels;

  Index pixels() const { return images * height * width; }
};

/// Weights and biases without gaps, as the kernel expects them.
template <class T>
struct ConvolutionParameters {
  GuardedMatrix<T> weight, bias;

  ConvolutionParameters(Index channels, Index offset, vbp::Random& random)
      : weight(49, channels, 0, offset), bias(1, channels, 0, 3) {
    weight.fill(random);
    bias.fill(random);
  }
};

template <class T>
void run(const ConvolutionShape& shape, const GuardedMatrix<T>& x, const ConvolutionParameters<T>& p,
         GuardedMatrix<T>& out, int threads = 1) {
  kernels::Workspace<T> workspace(threads);
  kernels::depthwise_7x7(x.data(), x.stride(), shape.images, shape.height, shape.width, shape.channels,
                         p.weight.data(), p.bias.data(), out.data(), out.stride(), workspace);
}

/// The largest error divided by its bound. An element sums 49 products and a bias, and each addition and each
/// product is rounded once. So its error is at most 50 units of roundoff times the sum of the magnitudes.
template <class T>
double worst_error(const ConvolutionShape& shape, const GuardedMatrix<T>& x,
                   const ConvolutionParameters<T>& p, const GuardedMatrix<T>& out) {
  using O = Oracle<T>;
  const auto reference = [&](const Matrix<O>& pixels, const Matrix<O>& weight, const Matrix<O>& bias) {
    Matrix<O> result(shape.pixels(), shape.channels);
    kernels::reference::depthwise_7x7(pixels.data(), shape.images, shape.height, shape.width, shape.channels,
                                      weight.data(), bias.data(), result.data());
    return result;
  };
  const Matrix<O> pixels = x.template values<O>();
  const Matrix<O> weight = p.weight.template values<O>();
  const Matrix<O> bias = p.bias.template values<O>();
  const Matrix<O> expected = reference(pixels, weight, bias);
  const Matrix<O> magnitude = reference(pixels.cwiseAbs(), weight.cwiseAbs(), bias.cwiseAbs());
  vbp_test::WorstError<T> worst;
  for (Index i = 0; i < expected.rows(); ++i) {
    for (Index j = 0; j < expected.cols(); ++j) {
      worst.add(out(i, j), expected(i, j), 50 * kUnit<T> * magnitude(i, j));
    }
  }
  return worst.value();
}

template <class T>
void check(const ConvolutionShape& shape, Index gap, Index offset, vbp::Random& random) {
  INFO(shape.images << " images of " << shape.height << " x " << shape.width << " pixels of "
                    << shape.channels << " channels, " << offset << " behind a cache line");
  GuardedMatrix<T> x(shape.pixels(), shape.channels, gap, offset);
  x.fill(random);
  const ConvolutionParameters<T> p(shape.channels, offset / 2, random);
  GuardedMatrix<T> out(shape.pixels(), shape.channels, (gap + 2) % 4, offset / 3);
  run(shape, x, p, out);
  REQUIRE(worst_error(shape, x, p, out) <= 1.0);
  REQUIRE(out.intact());
}

}  // namespace

TEMPLATE_TEST_CASE("depthwise convolution of every number of channels and alignment", "[kernels][depthwise]",
                   float, double) {
  vbp::Random random(1);
  for (Index channels = 1; channels <= 70; ++channels) {
    for (Index offset = 0; offset < 17; offset += 5) {
      check<TestType>({1, 3, 9, channels}, offset % 3, offset, random);
    }
  }
}

TEMPLATE_TEST_CASE("depthwise convolution of every height and width", "[kernels][depthwise]", float, double) {
  vbp::Random random(2);
  // Sizes smaller than the kernel, equal to it, and around the tiles of pixels and the bands of rows.
  for (Index width = 1; width <= 32; ++width) check<TestType>({1, 2, width, 18}, 1, 1, random);
  for (Index height = 1; height <= 23; ++height) check<TestType>({2, height, 5, 16}, 0, 0, random);
}

TEMPLATE_TEST_CASE("depthwise convolution of groups of channels", "[kernels][depthwise]", float, double) {
  vbp::Random random(3);
  for (const Index channels : {128, 129, 192, 257, 400}) check<TestType>({1, 8, 7, channels}, 3, 2, random);
}

TEMPLATE_TEST_CASE("depthwise convolution gives the same bits for any number of threads and in any batch",
                   "[kernels][depthwise]", float, double) {
  vbp::Random random(4);
  const ConvolutionShape shape{3, 15, 17, 150};
  GuardedMatrix<TestType> x(shape.pixels(), shape.channels);
  x.fill(random);
  const ConvolutionParameters<TestType> p(shape.channels, 0, random);
  GuardedMatrix<TestType> expected(shape.pixels(), shape.channels);
  run(shape, x, p, expected);
  for (const int threads : {2, 3, 8}) {
    GuardedMatrix<TestType> out(shape.pixels(), shape.channels);
    run(shape, x, p, out, threads);
    CHECK(out.values() == expected.values());
    CHECK(out.intact());
  }
  // Only the last image.
  const ConvolutionShape one{1, shape.height, shape.width, shape.channels};
  GuardedMatrix<TestType> last(one.pixels(), one.channels);
  last.assign(x.values().bottomRows(one.pixels()));
  GuardedMatrix<TestType> out(one.pixels(), one.channels);
  run(one, last, p, out);
  CHECK(out.values() == expected.values().bottomRows(one.pixels()));
}

TEST_CASE("depthwise convolution of no images", "[kernels][depthwise]") {
  vbp::Random random(5);
  const ConvolutionParameters<float> p(20, 0, random);
  GuardedMatrix<float> x(0, 20), out(0, 20);
  run({0, 5, 5, 20}, x, p, out, 2);
  CHECK(out.intact());
}
