#include "vbp/kernels/moments.hpp"

#include <cmath>

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

/// Adds the moments of random samples to random sums and compares the result with the reference. A sum of n
/// terms and the previous value has n + 2 roundings of the summed magnitudes, including those of the
/// deviations. A sum of squares has three more.
template <class T, class S>
void check_moments(Index rows, Index columns, Index gap, Index offset, vbp::Random& random) {
  using O = Oracle<T>;
  INFO(rows << " x " << columns << ", gap " << gap << ", offset " << offset);
  GuardedMatrix<S> samples(rows, columns, gap, offset);
  samples.fill(random);
  GuardedMatrix<T> shift(1, columns, 0, 1), sum(1, columns, 0, 2), square_sum(1, columns, 0, 3);
  shift.fill(random);
  sum.fill(random);
  square_sum.fill(random);
  Matrix<O> expected_sum = sum.template values<O>();
  Matrix<O> expected_square_sum = square_sum.template values<O>();
  Matrix<O> sum_magnitude = expected_sum.cwiseAbs();
  Matrix<O> square_sum_magnitude = expected_square_sum.cwiseAbs();
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < columns; ++j) {
      const O deviation = O(static_cast<T>(samples(i, j))) - O(shift(0, j));
      sum_magnitude(0, j) += std::abs(deviation);
      square_sum_magnitude(0, j) += deviation * deviation;
    }
  }
  // The reference converts samples to its own T, so it gets samples that are already converted to the
  // kernel's T.
  const Matrix<O> converted = samples.template values<T>().template cast<O>();
  const Matrix<O> exact_shift = shift.template values<O>();
  kernels::reference::add_shifted_moments(converted.data(), rows, columns, columns, exact_shift.data(),
                                          expected_sum.data(), expected_square_sum.data());
  kernels::add_shifted_moments(samples.data(), rows, samples.stride(), columns, shift.data(), sum.data(),
                               square_sum.data());
  const O roundings = static_cast<O>(rows + 2) * kUnit<T>;
  vbp_test::WorstError<T> worst;
  for (Index j = 0; j < columns; ++j) {
    worst.add(sum(0, j), expected_sum(0, j), roundings * sum_magnitude(0, j));
    worst.add(square_sum(0, j), expected_square_sum(0, j),
              (roundings + 3 * kUnit<T>)*square_sum_magnitude(0, j));
  }
  REQUIRE(worst.value() <= 1.0);
  REQUIRE(sum.intact());
  REQUIRE(square_sum.intact());
}

}  // namespace

TEMPLATE_PRODUCT_TEST_CASE("moments of every width, alignment and number of rows", "[kernels][moments]",
                           std::pair, ((float, float), (float, double), (double, float), (double, double))) {
  vbp::Random random(1);
  for (Index columns = 1; columns <= 37; ++columns) {
    for (const Index rows : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31}) {
      check_moments<typename TestType::first_type, typename TestType::second_type>(
          rows, columns, (rows + columns) % 4, (3 * rows + columns) % 17, random);
    }
  }
  check_moments<typename TestType::first_type, typename TestType::second_type>(256, 1536, 0, 0, random);
}

TEST_CASE("samples are converted before anything is subtracted", "[kernels][moments]") {
  // In double, 1 - (1 - 2^-40) = 2^-40. If shift were converted to float before the subtraction, the
  // difference would be 0.
  const float sample = 1.0F;
  const double shift = 1.0 - 0x1p-40;
  double sum = 0.0, square_sum = 0.0;
  kernels::add_shifted_moments(&sample, 1, 1, 1, &shift, &sum, &square_sum);
  CHECK(sum == 0x1p-40);
  CHECK(square_sum == 0x1p-80);
  // In the opposite case, the sample is first rounded to float: 1 + 2^-40 becomes 1.
  const double fine_sample = 1.0 + 0x1p-40;
  const float coarse_shift = 1.0F;
  float coarse_sum = 0.0F, coarse_square_sum = 0.0F;
  kernels::add_shifted_moments(&fine_sample, 1, 1, 1, &coarse_shift, &coarse_sum, &coarse_square_sum);
  CHECK(coarse_sum == 0.0F);
}
