#include "vbp/kernels/activation.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/guarded.hpp"
#include "vbp/kernels/reference.hpp"

namespace {

using vbp::Index;
using vbp_test::GuardedMatrix;
using vbp_test::Oracle;
using vbp_test::WorstError;
namespace kernels = vbp::kernels;
namespace reference = vbp::kernels::reference;

struct Gelu {
  static constexpr double kBound = 1e-7;
  template <class T>
  static void run(const T* x, Index size, T* out) noexcept {
    kernels::gelu(x, size, out);
  }
  template <class T>
  static T expected(T x) noexcept {
    return reference::gelu(x);
  }
};

struct GeluTanh {
  static constexpr double kBound = 2e-7;
  template <class T>
  static void run(const T* x, Index size, T* out) noexcept {
    kernels::gelu_tanh(x, size, out);
  }
  template <class T>
  static T expected(T x) noexcept {
    return reference::gelu_tanh(x);
  }
};

/// The distance of |value| to the next larger float.
double unit_in_last_place(double value) {
  const auto magnitude = static_cast<float>(std::abs(value));
  return double{std::nextafter(magnitude, std::numeric_limits<float>::infinity())} - double{magnitude};
}

/// The documented error bound at x.
template <class Function>
double bound(float x, double expected) {
  return x > 2.0F ? 2.0 * unit_in_last_place(expected) : Function::kBound;
}

/// The largest error divided by its bound, over every `step`-th float in the range of bit patterns [first,
/// last).
template <class Function>
double worst_error(std::uint32_t first, std::uint32_t last, std::uint32_t step) {
  WorstError<float> worst;
  std::vector<float> x, out;
  for (std::uint64_t bits = first; bits < last;) {
    x.clear();
    for (; bits < last && x.size() < 4096; bits += step) {
      x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    }
    out.resize(x.size());
    Function::run(x.data(), static_cast<Index>(x.size()), out.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = Function::expected(double{x[i]});
      worst.add(out[i], expected, bound<Function>(x[i], expected));
    }
  }
  return worst.value();
}

constexpr std::uint32_t kInfinity = 0x7f800000;
constexpr std::uint32_t kNegative = 0x80000000;

std::uint32_t bits_of(float x) {
  return std::bit_cast<std::uint32_t>(x);
}

}  // namespace

TEMPLATE_TEST_CASE("GELU keeps its error bound on all floats", "[kernels][activation]", Gelu, GeluTanh) {
  // Each exponent has 2^23 floats, so more than 33,000 of them are tested. The step is prime, so that the low
  // bits vary. The bounds also hold with a step of 1, which takes minutes.
  constexpr std::uint32_t step = 251;
  CHECK(worst_error<TestType>(0, kInfinity, step) <= 1.0);
  CHECK(worst_error<TestType>(kNegative, kNegative + kInfinity, step) <= 1.0);
  // A denser test from 2^-3 to 16, where the function bends and where its polynomials meet.
  constexpr std::uint32_t dense = 17;
  CHECK(worst_error<TestType>(bits_of(0.125F), bits_of(16.0F), dense) <= 1.0);
  CHECK(worst_error<TestType>(bits_of(-0.125F), bits_of(-16.0F), dense) <= 1.0);
}

TEMPLATE_TEST_CASE("GELU of special values", "[kernels][activation]", Gelu, GeluTanh) {
  using Limits = std::numeric_limits<float>;
  const auto value = [](float x) {
    float out = 7.0F;
    TestType::run(&x, 1, &out);
    // The result must be the same in the middle of a full vector.
    std::vector<float> many(64, 1.0F);
    many[37] = x;
    TestType::run(many.data(), 64, many.data());
    CHECK(bits_of(many[37]) == bits_of(out));
    return out;
  };
  for (const std::uint32_t bits : {0x7fc00000U, 0xffc00000U, 0x7fc00001U, 0x7f800001U, 0xffffffffU}) {
    CHECK(std::isnan(value(std::bit_cast<float>(bits))));
  }
  CHECK(value(Limits::infinity()) == Limits::infinity());
  CHECK(std::abs(value(-Limits::infinity())) <= TestType::kBound);
  CHECK(value(Limits::max()) == Approx(Limits::max()).epsilon(2.5e-7));
  CHECK(std::abs(value(Limits::lowest())) <= TestType::kBound);
  CHECK(value(0.0F) == 0.0F);
  CHECK(value(-0.0F) == 0.0F);
  CHECK(std::abs(value(Limits::denorm_min())) <= Limits::denorm_min());
  CHECK(std::abs(value(-Limits::denorm_min())) <= Limits::denorm_min());
  CHECK(std::abs(value(Limits::min())) <= Limits::min());
  // A NaN does not spread to the other lanes of its vector.
  std::vector<float> many(64, 1.0F);
  many[5] = Limits::quiet_NaN();
  TestType::run(many.data(), 64, many.data());
  CHECK(std::count_if(many.begin(), many.end(), [](float x) { return std::isnan(x); }) == 1);
}

TEMPLATE_TEST_CASE("GELU in double follows its formula", "[kernels][activation]", Gelu, GeluTanh) {
  WorstError<double> worst;
  for (int i = -4000; i <= 4000; ++i) {
    const double x = i * 0.00731;
    double out = 0.0;
    TestType::run(&x, 1, &out);
    const long double expected = TestType::expected(static_cast<long double>(x));
    // A few roundings of numbers as large as x. The rounding of the argument of exp or erfc is multiplied by
    // at most x phi(x) x^2 < 1 in the result.
    worst.add(out, expected, 8 * std::numeric_limits<double>::epsilon() * std::max(1.0, std::abs(x)));
  }
  CHECK(worst.value() <= 1.0);
  double value = std::numeric_limits<double>::quiet_NaN();
  TestType::run(&value, 1, &value);
  CHECK(std::isnan(value));
  value = 1e300;
  TestType::run(&value, 1, &value);
  CHECK(value == 1e300);
  value = -1e300;
  TestType::run(&value, 1, &value);
  CHECK(value == 0.0);
}

TEMPLATE_PRODUCT_TEST_CASE("GELU of every length and alignment", "[kernels][activation]", std::pair,
                           ((Gelu, float), (Gelu, double), (GeluTanh, float), (GeluTanh, double))) {
  using Function = typename TestType::first_type;
  using T = typename TestType::second_type;
  vbp::Random random(1);
  for (Index size = 0; size <= 67; ++size) {
    for (Index offset = 0; offset < 17; ++offset) {
      INFO(size << " values, " << offset << " behind a cache line");
      GuardedMatrix<T> x(1, size, 0, offset);
      x.fill(random);
      GuardedMatrix<T> out(1, size, 0, (offset * 5) % 17);
      Function::run(x.data(), size, out.data());
      WorstError<T> worst;
      for (Index j = 0; j < size; ++j) {
        const Oracle<T> expected = Function::expected(Oracle<T>(x(0, j)));
        worst.add(out(0, j), expected, Oracle<T>(sizeof(T) == 4 ? 1e-6 : 1e-14));
      }
      REQUIRE(worst.value() <= 1.0);
      REQUIRE(out.intact());
      // In place, the result must be bitwise the same.
      Function::run(x.data(), size, x.data());
      REQUIRE(x.intact());
      REQUIRE(x.values() == out.values());
    }
  }
}
