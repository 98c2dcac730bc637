#include "vbp/kernels/depthwise_backward.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference_backward.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp_test::GuardedMatrix;
using vbp_test::kUnit;
using vbp_test::Oracle;
namespace kernels = vbp::kernels;

struct MapShape {
  Index images, height, width, channels;

  Index pixels() const { return images * height * width; }
};

/// The inputs of the kernels, each with its own alignment.
template <class T>
struct MapInputs {
  GuardedMatrix<T> x, gradient, weight;

  MapInputs(const MapShape& shape, Index offset, vbp::Random& random)
      : x(shape.pixels(), shape.channels, 0, offset),
        gradient(shape.pixels(), shape.channels, 0, offset / 2),
        weight(49, shape.channels, 0, offset / 3) {
    for (GuardedMatrix<T>* values : {&x, &gradient, &weight}) values->fill(random);
  }
};

/// The outputs of the kernels.
template <class T>
struct MapGradients {
  GuardedMatrix<T> input, weight, bias;

  explicit MapGradients(const MapShape& shape, Index offset = 0)
      : input(shape.pixels(), shape.channels, 0, offset),
        weight(49, shape.channels, 0, offset / 2),
        bias(1, shape.channels, 0, 3) {}
};

template <class T>
void run(const MapShape& s, const MapInputs<T>& in, MapGradients<T>& out, int threads = 1) {
  kernels::Workspace<T> workspace(threads);
  GuardedMatrix<T> turned(49, s.channels);
  GuardedMatrix<T> partial(
      1, kernels::depthwise_7x7_weight_gradient_elements(s.images, s.height, s.width, s.channels));
  kernels::depthwise_7x7_input_gradient(in.gradient.data(), s.images, s.height, s.width, s.channels,
                                        in.weight.data(), turned.data(), out.input.data(), workspace);
  kernels::depthwise_7x7_weight_gradient(in.x.data(), in.gradient.data(), s.images, s.height, s.width,
                                         s.channels, out.weight.data(), out.bias.data(), partial.data(),
                                         workspace);
  CHECK(turned.intact());
  CHECK(partial.intact());
}

template <class O>
struct Expected {
  Matrix<O> input, weight, bias;

  Expected(const MapShape& s, const Matrix<O>& x, const Matrix<O>& gradient, const Matrix<O>& kernel)
      : input(s.pixels(), s.channels), weight(49, s.channels), bias(1, s.channels) {
    kernels::reference::depthwise_7x7_backward(x.data(), gradient.data(), s.images, s.height, s.width,
                                               s.channels, kernel.data(), input.data(), weight.data(),
                                               bias.data());
  }
};

/// An element that sums n products has an error of at most n + 1 units of roundoff times the sum of their
/// magnitudes.
template <class T>
void check_close(const GuardedMatrix<T>& actual, const Matrix<Oracle<T>>& expected,
                 const Matrix<Oracle<T>>& magnitude, Index products) {
  vbp_test::WorstError<T> worst;
  for (Index i = 0; i < expected.rows(); ++i) {
    for (Index j = 0; j < expected.cols(); ++j) {
      const auto bound = static_cast<Oracle<T>>(products + 1) * kUnit<T> * magnitude(i, j);
      worst.add(actual(i, j), expected(i, j), bound);
    }
  }
  REQUIRE(worst.value() <= 1.0);
  REQUIRE(actual.intact());
}

template <class T>
void check(const MapShape& shape, Index offset, vbp::Random& random) {
  INFO(shape.images << " images of " << shape.height << " x " << shape.width << " pixels of "
                    << shape.channels << " channels, " << offset << " behind a cache line");
  using O = Oracle<T>;
  const MapInputs<T> in(shape, offset, random);
  MapGradients<T> out(shape, offset);
  run(shape, in, out);
  const Matrix<O> x = in.x.template values<O>();
  const Matrix<O> gradient = in.gradient.template values<O>();
  const Matrix<O> weight = in.weight.template values<O>();
  const Expected<O> expected(shape, x, gradient, weight);
  const Expected<O> magnitude(shape, x.cwiseAbs(), gradient.cwiseAbs(), weight.cwiseAbs());
  check_close(out.input, expected.input, magnitude.input, 49);
  check_close(out.weight, expected.weight, magnitude.weight, shape.pixels());
  check_close(out.bias, expected.bias, magnitude.bias, shape.pixels());
}

}  // namespace

TEMPLATE_TEST_CASE("gradients of a depthwise convolution of every number of channels and alignment",
                   "[kernels][depthwise]", float, double) {
  vbp::Random random(1);
  for (Index channels = 1; channels <= 70; ++channels) {
    for (Index offset = 0; offset < 17; offset += 5) check<TestType>({1, 3, 9, channels}, offset, random);
  }
  for (const Index channels : {96, 129, 192}) check<TestType>({1, 8, 7, channels}, 2, random);
}

TEMPLATE_TEST_CASE("gradients of a depthwise convolution of every height and width", "[kernels][depthwise]",
                   float, double) {
  vbp::Random random(2);
  // Widths smaller than the kernel, equal to it, and around the sizes of the tiles.
  for (Index width = 1; width <= 32; ++width) check<TestType>({1, 2, width, 18}, 1, random);
  for (Index height = 1; height <= 23; ++height) check<TestType>({2, height, 5, 16}, 0, random);
}

TEMPLATE_TEST_CASE("gradients of a depthwise convolution of more images than a task takes",
                   "[kernels][depthwise]", float, double) {
  vbp::Random random(3);
  // A task processes 1,024 images of one pixel, but only one image of 600 pixels.
  check<TestType>({1030, 1, 1, 17}, 0, random);
  check<TestType>({3, 20, 30, 17}, 0, random);
}

TEMPLATE_TEST_CASE("gradients of a depthwise convolution have the same bits for any number of threads",
                   "[kernels][depthwise]", float, double) {
  vbp::Random random(4);
  const MapShape shape{45, 7, 6, 150};
  const MapInputs<TestType> in(shape, 0, random);
  MapGradients<TestType> expected(shape);
  run(shape, in, expected);
  for (const int threads : {2, 3, 8}) {
    MapGradients<TestType> out(shape);
    run(shape, in, out, threads);
    CHECK(out.input.values() == expected.input.values());
    CHECK(out.weight.values() == expected.weight.values());
    CHECK(out.bias.values() == expected.bias.values());
  }
}
