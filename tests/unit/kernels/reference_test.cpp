#include "vbp/kernels/reference.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "support/catch.hpp"

// The references are the oracles of the other tests in this folder, so they are tested too: against values
// computed by hand from tables or closed forms.
namespace {

using vbp::Index;
using vbp::Matrix;
namespace kernels = vbp::kernels;
namespace reference = vbp::kernels::reference;

// A few roundings of numbers near one.
constexpr double kTolerance = 8 * std::numeric_limits<double>::epsilon();

void check_close(const std::vector<double>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(actual[i] == Approx(expected[i]).epsilon(kTolerance));
  }
}

}  // namespace

TEST_CASE("reference GELU is x times the normal distribution function", "[kernels][reference]") {
  // Phi(1) and Phi(-2) to 17 digits.
  CHECK(reference::gelu(1.0) == Approx(0.84134474606854295).epsilon(kTolerance));
  CHECK(reference::gelu(-2.0) == Approx(-2.0 * 0.022750131948179208).epsilon(kTolerance));
  CHECK(reference::gelu(0.0) == 0.0);
  CHECK(reference::gelu(40.0) == 40.0);
  CHECK(std::abs(reference::gelu(-40.0)) < 1e-300);
  // Phi(x) + Phi(-x) = 1.
  for (const double x : {0.3, 1.7, 4.0}) {
    CHECK(reference::gelu(x) - reference::gelu(-x) == Approx(x).epsilon(kTolerance));
  }
  CHECK(std::isnan(reference::gelu(std::numeric_limits<double>::quiet_NaN())));
  CHECK(reference::gelu(1.0F) == Approx(0.84134474606854295).epsilon(1e-6));
}

TEST_CASE("reference GELU by tanh is the logistic form", "[kernels][reference]") {
  // 0.5 (1 + tanh(y)) = 1 / (1 + exp(-2 y)).
  for (const double x : {-3.0, -0.7, 0.2, 1.0, 2.5}) {
    const double y = 0.79788456080286536 * (x + 0.044715 * x * x * x);
    CHECK(reference::gelu_tanh(x) == Approx(x / (1.0 + std::exp(-2.0 * y))).epsilon(1e-13));
  }
  CHECK(reference::gelu_tanh(0.0) == 0.0);
  // The approximation differs from the exact function by less than 5e-4, but it does differ.
  CHECK(std::abs(reference::gelu_tanh(2.0) - reference::gelu(2.0)) < 5e-4);
  CHECK(std::abs(reference::gelu_tanh(2.0) - reference::gelu(2.0)) > 5e-5);
}

TEST_CASE("reference GELUs work element by element, in place too", "[kernels][reference]") {
  std::vector<double> values{-1.0, 0.0, 1.0};
  std::vector<double> tanh_values = values;
  reference::gelu(values.data(), 3, values.data());
  reference::gelu_tanh(tanh_values.data(), 3, tanh_values.data());
  check_close(values, {reference::gelu(-1.0), 0.0, reference::gelu(1.0)});
  check_close(tanh_values, {reference::gelu_tanh(-1.0), 0.0, reference::gelu_tanh(1.0)});
}

TEST_CASE("reference gemm with each epilogue, by hand", "[kernels][reference]") {
  // Rows of `a` have stride four and three values each; rows of `c` have stride three and two values each.
  const std::vector<double> a{1, 2, 3, 99, -1, 0, 2, 99};
  Matrix<double> weight(2, 3);
  weight << 1, 0, 1, 2, 1, -1;
  const std::vector<double> bias{0.5, -1}, scale{2, 3}, residual{10, 20, 99, 30, 40, 99};
  const auto product = [&](const kernels::Epilogue<double>& epilogue) {
    std::vector<double> c(6, 7.0);
    reference::gemm<double>(a.data(), 4, 2, weight, epilogue, c.data(), 3);
    return c;
  };
  CHECK(product({}) == std::vector<double>{4, 1, 7, 1, -4, 7});
  CHECK(product({.bias = bias.data()}) == std::vector<double>{4.5, 0, 7, 1.5, -5, 7});
  check_close(product({.kind = kernels::EpilogueKind::bias_gelu, .bias = bias.data()}),
              {reference::gelu(4.5), 0, 7, reference::gelu(1.5), reference::gelu(-5.0), 7});
  check_close(product({.kind = kernels::EpilogueKind::bias_gelu_tanh, .bias = bias.data()}),
              {reference::gelu_tanh(4.5), 0, 7, reference::gelu_tanh(1.5), reference::gelu_tanh(-5.0), 7});
  const auto kind = kernels::EpilogueKind::scaled_residual;
  CHECK(product({.kind = kind,
                 .bias = bias.data(),
                 .scale = scale.data(),
                 .residual = residual.data(),
                 .residual_stride = 3}) == std::vector<double>{19, 20, 7, 33, 25, 7});
  CHECK(product({.kind = kind, .residual = residual.data(), .residual_stride = 3}) ==
        std::vector<double>{14, 21, 7, 31, 36, 7});
  CHECK(product({.kind = kind, .scale = scale.data()}) == std::vector<double>{8, 3, 7, 2, -12, 7});
}

TEST_CASE("reference softmax, by hand", "[kernels][reference]") {
  // exp(0.5 * 2 ln k) = k.
  std::vector<double> values{0, 2 * std::log(3.0), 9, 2 * std::log(2.0) + 100, 100, 9};
  reference::softmax(values.data(), 2, 2, 3, 0.5);
  CHECK(values[0] == Approx(0.25).epsilon(kTolerance));
  CHECK(values[1] == Approx(0.75).epsilon(kTolerance));
  CHECK(values[3] == Approx(2.0 / 3.0).epsilon(1e-14));
  CHECK(values[4] == Approx(1.0 / 3.0).epsilon(1e-14));
  CHECK(values[2] == 9);
  CHECK(values[5] == 9);
}

TEST_CASE("reference layer norm, by hand", "[kernels][reference]") {
  // The values 1, 2, 6 have mean 3 and variance 14 / 3.
  const std::vector<double> x{1, 2, 6, 99, 5, 5, 5, 99}, weight{1, 2, 3}, bias{0, 10, 20};
  std::vector<double> out(6);
  reference::layer_norm(x.data(), 4, 2, 3, weight.data(), bias.data(), 4.0 / 3.0, out.data(), 3);
  const double deviation = std::sqrt(6.0);
  CHECK(out[0] == Approx(-2 / deviation).epsilon(kTolerance));
  CHECK(out[1] == Approx(10 - 2 / deviation).epsilon(kTolerance));
  CHECK(out[2] == Approx(20 + 9 / deviation).epsilon(kTolerance));
  CHECK(out[3] == 0);
  CHECK(out[4] == 10);
  CHECK(out[5] == 20);
}

TEST_CASE("reference attention, by hand", "[kernels][reference]") {
  // One image with two tokens and two heads of one feature. Head 0 has queries 1 and 0 and keys 0 and ln 3,
  // so token 0 weights its values 1 : 3, and token 1 weights them equally. The keys of head 1 are zero.
  const double ln3 = std::log(3.0);
  const std::vector<double> qkv{1, 5, 0, 0, 8, 1, 0, 6, ln3, 0, 4, 2};
  std::vector<double> out(4);
  reference::attention(qkv.data(), 1, 2, 2, 1, out.data());
  CHECK(out[0] == Approx(5.0).epsilon(kTolerance));
  CHECK(out[1] == Approx(1.5).epsilon(kTolerance));
  CHECK(out[2] == Approx(6.0).epsilon(kTolerance));
  CHECK(out[3] == Approx(1.5).epsilon(kTolerance));

  // With four features per head, scores are divided by two. The second image must not depend on the first.
  std::vector<double> wide(2 * 2 * 12, 0.0);
  wide[0] = 2;         // image 0, token 0, q
  wide[12 + 4] = ln3;  // image 0, token 1, k
  wide[8] = 8;         // image 0, token 0, v
  wide[12 + 8] = 4;    // image 0, token 1, v
  wide[24 + 8] = 100;  // image 1, token 0, v
  std::vector<double> result(2 * 2 * 4);
  reference::attention(wide.data(), 2, 2, 1, 4, result.data());
  CHECK(result[0] == Approx(5.0).epsilon(kTolerance));
  CHECK(result[4] == Approx(6.0).epsilon(kTolerance));
  CHECK(result[8] == Approx(50.0).epsilon(kTolerance));
  CHECK(result[1] == 0);
}

TEST_CASE("reference moments add to what is there", "[kernels][reference]") {
  const std::vector<float> samples{1, 2, 99, 4, 8, 99};
  const std::vector<double> shift{1, 5};
  std::vector<double> sum{100, 200}, square_sum{1000, 2000};
  reference::add_shifted_moments(samples.data(), 2, 3, 2, shift.data(), sum.data(), square_sum.data());
  CHECK(sum == std::vector<double>{103, 200});
  CHECK(square_sum == std::vector<double>{1009, 2018});
}

TEST_CASE("reference depthwise convolution moves each channel by its kernel", "[kernels][reference]") {
  // If only one weight of a kernel is one, the convolution moves the image by that weight's distance from the
  // centre, in the opposite direction. Zeros move in from outside. The two channels have different kernels.
  const Index height = 4, width = 5;
  std::vector<double> x(static_cast<std::size_t>(height * width * 2));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i + 1);
  std::vector<double> weight(49 * 2, 0.0);
  weight[(2 * 7 + 5) * 2] = 1.0;      // takes the pixel a row above and two columns to the right
  weight[(6 * 7 + 3) * 2 + 1] = 3.0;  // takes the pixel three rows below
  const std::vector<double> bias{0.5, -0.25};
  std::vector<double> out(x.size());
  reference::depthwise_7x7(x.data(), 1, height, width, 2, weight.data(), bias.data(), out.data());
  const auto at = [&](const std::vector<double>& image, Index row, Index column, Index channel) {
    return image[static_cast<std::size_t>((row * width + column) * 2 + channel)];
  };
  CHECK(at(out, 1, 0, 0) == at(x, 0, 2, 0) + 0.5);
  CHECK(at(out, 3, 2, 0) == at(x, 2, 4, 0) + 0.5);
  CHECK(at(out, 0, 0, 0) == 0.5);
  CHECK(at(out, 2, 3, 0) == 0.5);
  CHECK(at(out, 0, 4, 1) == 3.0 * at(x, 3, 4, 1) - 0.25);
  CHECK(at(out, 1, 4, 1) == -0.25);
}
