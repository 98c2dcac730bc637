#include "vbp/kernels/activation_backward.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "vbp/kernels/activation.hpp"
#include "vbp/kernels/reference_backward.hpp"

namespace {

namespace kernels = vbp::kernels;
using vbp::Index;

/// All multiples of 2^-8 from -16 to 16, and four values far outside.
std::vector<double> points() {
  std::vector<double> x{-1e4, -88.0, 88.0, 1e4};
  for (int i = -16 * 256; i <= 16 * 256; ++i) x.push_back(i / 256.0);
  return x;
}

template <class T, class Kernel, class Reference>
void check_against_reference(Kernel&& kernel, Reference&& reference, double tolerance) {
  const std::vector<double> x = points();
  const auto size = static_cast<Index>(x.size());
  const std::vector<T> input(x.begin(), x.end());
  std::vector<T> hidden(x.size()), gradient(x.size(), T(1));
  std::vector<double> expected_hidden(x.size()), expected_gradient(x.size(), 1.0);
  kernel(input.data(), size, hidden.data(), gradient.data());
  reference(x.data(), size, expected_hidden.data(), expected_gradient.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(x[i]);
    CHECK(std::abs(hidden[i] - expected_hidden[i]) <= tolerance * std::max(1.0, std::abs(x[i])));
    CHECK(std::abs(gradient[i] - expected_gradient[i]) <= tolerance);
  }
}

}  // namespace

TEST_CASE("the references are the derivatives of the activations") {
  const std::vector<double> x = points();
  const auto size = static_cast<Index>(x.size());
  constexpr double h = 1e-4;
  const auto check = [&](auto&& activation, auto&& backward) {
    std::vector<double> hidden(x.size()), gradient(x.size(), 2.0), value(x.size());
    backward(x.data(), size, hidden.data(), gradient.data());
    activation(x.data(), size, value.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (std::abs(x[i]) > 20.0) continue;  // x + h is rounded there
      const double moved[] = {x[i] + h, x[i] - h};
      double at[2];
      activation(moved, 2, at);
      INFO(x[i]);
      CHECK(std::abs(hidden[i] - value[i]) <= 1e-14 * std::max(1.0, std::abs(x[i])));
      // Central differences have an error of h^2 / 6 times the third derivative, which is below 2.
      CHECK(std::abs(gradient[i] / 2.0 - (at[0] - at[1]) / (2 * h)) <= 1e-8);
    }
  };
  check(kernels::gelu<double>, kernels::reference::gelu_backward<double>);
  check(kernels::gelu_tanh<double>, kernels::reference::gelu_tanh_backward<double>);
}

TEST_CASE("value and slope of both GELUs are the references'") {
  // The polynomial's error of 7e-8, the exponential's relative error of 2e-7 on terms up to 0.5, and a few
  // roundings.
  constexpr double single = 4e-7;
  check_against_reference<float>(kernels::gelu_backward<float>, kernels::reference::gelu_backward<double>,
                                 single);
  check_against_reference<float>(kernels::gelu_tanh_backward<float>,
                                 kernels::reference::gelu_tanh_backward<double>, single);
  check_against_reference<double>(kernels::gelu_backward<double>, kernels::reference::gelu_backward<double>,
                                  1e-14);
  check_against_reference<double>(kernels::gelu_tanh_backward<double>,
                                  kernels::reference::gelu_tanh_backward<double>, 1e-14);
}

TEST_CASE("every length and alignment gives the same values, and nothing beyond is touched") {
  for (Index size = 0; size <= 40; ++size) {
    for (Index offset = 0; offset < 3; ++offset) {
      const auto length = static_cast<std::size_t>(size + offset + 1);
      std::vector<float> x(length), hidden(length, 9.0F), gradient(length, 9.0F);
      for (std::size_t i = 0; i < length; ++i) x[i] = 0.25F * static_cast<float>(i) - 2.0F;
      for (Index i = 0; i < size; ++i) gradient[static_cast<std::size_t>(offset + i)] = 3.0F;
      kernels::gelu_backward(x.data() + offset, size, hidden.data() + offset, gradient.data() + offset);
      CHECK(hidden.back() == 9.0F);
      CHECK(gradient.back() == 9.0F);
      for (Index i = 0; i < size; ++i) {
        const auto at = static_cast<std::size_t>(offset + i);
        float value = 0.0F;
        float slope = 3.0F;
        kernels::gelu_backward(&x[at], 1, &value, &slope);
        CHECK(hidden[at] == value);
        CHECK(gradient[at] == slope);
      }
    }
  }
}
