#include "vbp/kernels/detail/math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/entry.hpp"

namespace {

using Arch = xsimd::default_arch;
namespace detail = vbp::simd;

/// Applies `function` to the values, one vector at a time.
template <class T, class Function>
std::vector<T> by_vector(std::vector<T> x, Function&& function) {
  using B = detail::Batch<Arch, T>;
  const std::size_t size = x.size();
  x.resize((size + B::size - 1) / B::size * B::size);
  for (std::size_t i = 0; i < x.size(); i += B::size) {
    function(B::load_unaligned(&x[i])).store_unaligned(&x[i]);
  }
  x.resize(size);
  return x;
}

template <class T>
std::vector<T> exponential(std::vector<T> x) {
  return by_vector(std::move(x), [](const auto& batch) { return detail::exponential<Arch, T>(batch); });
}

template <class T>
std::vector<T> power_of_two(std::vector<T> x) {
  return by_vector(std::move(x), [](const auto& batch) { return detail::power_of_two<Arch, T>(batch); });
}

}  // namespace

TEST_CASE("exp keeps its error bound from -87 to 88", "[kernels][math]") {
  // About three million numbers, twelve thousand for each power of two of the result.
  constexpr int count = 3'000'000;
  std::vector<float> x;
  for (int i = 0; i <= count; ++i) x.push_back(static_cast<float>(-87.0 + 175.0 * i / count));
  const std::vector<float> powers = exponential(x);
  vbp_test::WorstError<float> worst;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(double{x[i]});
    worst.add(powers[i], expected, 2e-7 * expected);
  }
  CHECK(worst.value() <= 1.0);
}

TEST_CASE("exp of numbers near zero, and of zero", "[kernels][math]") {
  vbp_test::WorstError<float> worst;
  for (float x = 1.0F; x > 1e-40F; x /= 1.25F) {
    const std::vector<float> powers = exponential<float>({x, -x});
    worst.add(powers[0], std::exp(double{x}), 2e-7 * std::exp(double{x}));
    worst.add(powers[1], std::exp(-double{x}), 2e-7);
  }
  CHECK(worst.value() <= 1.0);
  CHECK(exponential<float>({0.0F, -0.0F}) == std::vector<float>{1.0F, 1.0F});
}

TEST_CASE("exp flushes beyond its range", "[kernels][math]") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float power : exponential<float>({-87.5F, -104.0F, -1e30F, -infinity})) {
    CHECK(power == Approx(std::exp(-87.0)).epsilon(2e-7));
  }
  for (const float power : exponential<float>({88.5F, 89.0F, 1e30F, infinity})) {
    CHECK(power == Approx(std::exp(88.0)).epsilon(2e-7));
  }
}

TEST_CASE("exp of double is the standard library's", "[kernels][math]") {
  std::vector<double> x;
  for (int i = -800; i <= 800; ++i) x.push_back(i * 0.93);
  const std::vector<double> powers = exponential(x);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(powers[i] == std::exp(x[i]));
}

TEST_CASE("powers of two keep their error bound from -126 to 0", "[kernels][math]") {
  constexpr int count = 2'000'000;
  std::vector<float> x;
  for (int i = 0; i <= count; ++i) x.push_back(static_cast<float>(-126.0 * i / count));
  const std::vector<float> powers = power_of_two(x);
  vbp_test::WorstError<float> worst;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp2(double{x[i]});
    worst.add(powers[i], expected, 2e-7 * expected);
  }
  CHECK(worst.value() <= 1.0);
  // The largest weight of a softmax must be exactly one before the division.
  CHECK(power_of_two<float>({0.0F, -0.0F, -3.0F}) == std::vector<float>{1.0F, 1.0F, 0.125F});
  for (const float power : power_of_two<float>({-126.5F, -1e30F, -std::numeric_limits<float>::infinity()})) {
    CHECK(power == std::ldexp(1.0F, -126));
  }
  CHECK(std::isnan(power_of_two<float>({std::numeric_limits<float>::quiet_NaN()})[0]));
}

TEST_CASE("powers of two of double are the standard library's", "[kernels][math]") {
  std::vector<double> x;
  for (int i = -1100; i <= 10; ++i) x.push_back(i * 0.97);
  const std::vector<double> powers = power_of_two(x);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(powers[i] == std::exp2(x[i]));
}
