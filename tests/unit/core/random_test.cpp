#include "vbp/core/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

using vbp::Random;

static_assert(std::uniform_random_bit_generator<Random>);

namespace {

/// Number n of a seed, computed without the numbers before it: SplitMix64's finaliser of seed + (n + 1) g,
/// where g is the odd number nearest to 2^64 divided by the golden ratio.
std::uint64_t number(std::uint64_t seed, std::uint64_t n) {
  constexpr std::uint64_t golden = 11400714819323198485U;
  std::uint64_t z = seed + (n + 1) * golden;
  z ^= z >> 30;
  z *= 0xbf58476d1ce4e5b9U;
  z ^= z >> 27;
  z *= 0x94d049bb133111ebU;
  return z ^ z >> 31;
}

}  // namespace

TEST_CASE("the generator is SplitMix64", "[core][random]") {
  // The first numbers of seed 1234567, as published with the Java and C versions and on Rosetta Code.
  Random random(1234567);
  CHECK(random() == 6457827717110365317U);
  CHECK(random() == 3203168211198807973U);
  CHECK(random() == 9817491932198370423U);
  CHECK(random() == 4593380528125082431U);
  CHECK(random() == 16408922859458223821U);
  for (const std::uint64_t seed : {0ULL, 1ULL, 42ULL, 0xffffffffffffffffULL}) {
    Random other(seed);
    for (std::uint64_t n = 0; n < 100; ++n) REQUIRE(other() == number(seed, n));
  }
  CHECK(Random::min() == 0);
  CHECK(Random::max() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("uniform numbers are the upper 53 bits", "[core][random]") {
  Random random(7), bits(7);
  double sum = 0.0, squares = 0.0;
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) {
    const double x = random.uniform();
    REQUIRE(x == std::ldexp(static_cast<double>(bits() >> 11), -53));
    REQUIRE(x >= 0.0);
    REQUIRE(x < 1.0);
    sum += x;
    squares += x * x;
  }
  // Five standard deviations of the means. x has the standard deviation 1/sqrt(12), and x^2 has 2/sqrt(45).
  const double root = std::sqrt(static_cast<double>(count));
  CHECK(std::abs(sum / count - 0.5) < 5.0 * 0.2887 / root);
  CHECK(std::abs(squares / count - 1.0 / 3.0) < 5.0 * 0.2981 / root);
}

TEST_CASE("integers below a bound are unbiased", "[core][random]") {
  Random random(8);
  for (const std::uint64_t bound : {1ULL, 2ULL, 3ULL, 7ULL, 10ULL}) {
    std::vector<int> histogram(bound);
    constexpr int count = 70'000;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t x = random.below(bound);
      REQUIRE(x < bound);
      ++histogram[x];
    }
    const double expected = count / static_cast<double>(bound);
    for (const int seen : histogram) CHECK(std::abs(seen - expected) <= 5.0 * std::sqrt(expected));
  }
}

TEST_CASE("the incomplete last interval is rejected", "[core][random]") {
  // With bound 3 * 2^62, the remainder alone would give the lowest third twice as often as each of the
  // others.
  constexpr std::uint64_t bound = 3ULL << 62;
  Random random(9), bits(9);
  std::array<int, 3> histogram{};
  constexpr int count = 30'000;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t x = random.below(bound);
    REQUIRE(x < bound);
    ++histogram[x >> 62];
    // x must be the first number of the stream that is below the bound.
    std::uint64_t expected = bits();
    while (expected >= bound) expected = bits();
    REQUIRE(x == expected);
  }
  for (const int seen : histogram) CHECK(std::abs(seen - 10'000) <= 5 * 100);
  // With a power of two nothing is rejected, so each draw uses one number.
  Random halves(10), same(10);
  for (int i = 0; i < 1'000; ++i) REQUIRE(halves.below(1ULL << 63) == same() % (1ULL << 63));
}

TEST_CASE("normal numbers have the moments of the normal distribution", "[core][random]") {
  Random random(11);
  constexpr int count = 200'000;
  std::array<double, 5> moments{};
  int within_one = 0;
  for (int i = 0; i < count; ++i) {
    const double x = random.normal();
    REQUIRE(std::isfinite(x));
    for (int k = 1; k < 5; ++k) moments[static_cast<std::size_t>(k)] += std::pow(x, k) / count;
    if (std::abs(x) < 1.0) ++within_one;
  }
  // Five standard deviations of each mean: the variances of x, x^2, x^3, x^4 are 1, 2, 15, 96.
  const double root = std::sqrt(static_cast<double>(count));
  CHECK(std::abs(moments[1]) < 5.0 / root);
  CHECK(std::abs(moments[2] - 1.0) < 5.0 * std::sqrt(2.0) / root);
  CHECK(std::abs(moments[3]) < 5.0 * std::sqrt(15.0) / root);
  CHECK(std::abs(moments[4] - 3.0) < 5.0 * std::sqrt(96.0) / root);
  CHECK(std::abs(static_cast<double>(within_one) / count - 0.682689492) < 5.0 * 0.4655 / root);
}

TEST_CASE("a shuffle is a permutation, each as likely", "[core][random]") {
  Random random(12);
  std::vector<int> values(100);
  for (int i = 0; i < 100; ++i) values[static_cast<std::size_t>(i)] = i;
  std::vector<int> shuffled = values;
  random.shuffle(shuffled);
  CHECK(shuffled != values);
  CHECK(std::is_permutation(shuffled.begin(), shuffled.end(), values.begin()));
  std::vector<int> again = values;
  Random(12).shuffle(again);
  CHECK(again == shuffled);

  // Each of the 24 orders of four elements is expected 1,000 times.
  std::array<int, 256> histogram{};
  for (int i = 0; i < 24'000; ++i) {
    std::vector<std::size_t> four{0, 1, 2, 3};
    random.shuffle(four);
    ++histogram[four[0] * 64 + four[1] * 16 + four[2] * 4 + four[3]];
  }
  int orders = 0;
  for (const int seen : histogram) {
    if (seen == 0) continue;
    ++orders;
    CHECK(std::abs(seen - 1'000) < 5 * 32);
  }
  CHECK(orders == 24);

  std::vector<int> none, one{5};
  random.shuffle(none);
  random.shuffle(one);
  CHECK(none.empty());
  CHECK(one == std::vector<int>{5});
}
