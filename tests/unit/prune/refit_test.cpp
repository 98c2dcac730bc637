#include "vbp/prune/compensate/refit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <Eigen/LU>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/stats/statistics.hpp"

namespace {

using Catch::Matchers::Contains;
using vbp::Index;
using vbp::Matrix;
using vbp::ShapeError;
using vbp::ValueError;
using vbp::Vector;
using vbp_test::gaussian;
using Indices = std::vector<Index>;

/// A random covariance with eigenvalues in about [0.1, 5].
Matrix<double> well_conditioned(vbp::Random& random, Index size) {
  const Matrix<double> x = gaussian(random, 4 * size, size);
  return x.transpose() * x / static_cast<double>(4 * size) + 0.1 * Matrix<double>::Identity(size, size);
}

/// Mean squared difference of outputs, sample by sample.
double sample_error(const Matrix<double>& a, const Matrix<double>& b) {
  return (a - b).squaredNorm() / static_cast<double>(a.rows());
}

struct Problem {
  vbp::Mlp<double> block;
  Matrix<double> hidden;
  vbp::Covariance<double> covariance;

  Problem(std::uint64_t seed, Index samples, Index width)
      : block(make(seed, width)), hidden(samples, width), covariance(width) {
    vbp::Random random(seed + 1);
    hidden = block.hidden_activation(gaussian(random, samples, 6));
    covariance.observe(hidden);
  }

  static vbp::Mlp<double> make(std::uint64_t seed, Index width) {
    vbp::Random random(seed);
    return {gaussian(random, width, 6), gaussian(random, width, 1), gaussian(random, 4, width),
            gaussian(random, 4, 1)};
  }

  Matrix<double> output(const Matrix<double>& h, const Matrix<double>& w, const Vector<double>& b) const {
    return (h * w.transpose()).rowwise() + b.transpose();
  }
};

vbp::PruningPlan plan_of(Index width, const Indices& kept) {
  return {.blocks = {{.name = "a", .width = width, .kept = kept}}, .requested = width};
}

static_assert(vbp::HasCovariance<vbp::Covariance<float>> && vbp::HasCovariance<vbp::Covariance<double>>);
static_assert(!vbp::HasCovariance<vbp::Statistics<double>>);

}  // namespace

TEST_CASE("the gradient of the ridge objective vanishes at its solution", "[refit]") {
  vbp::Random random(1);
  for (const double lambda : {0.0, 1e-3, 0.3, 10.0}) {
    const Matrix<double> features = well_conditioned(random, 12);
    const Matrix<double> cross = gaussian(random, 5, 12);
    const Matrix<double> centre = gaussian(random, 5, 12);
    const Matrix<double> v = vbp::ridge(features, cross, centre, lambda);
    // d/dV of tr(V F V^T) - 2 tr(V X^T) + lambda t ||V - V0||^2.
    const double t = features.trace() / 12.0;
    const Matrix<double> gradient = 2.0 * (v * features - cross + lambda * t * (v - centre));
    CHECK(gradient.norm() <= 1e-12 * (cross.norm() + lambda * t * centre.norm()));
  }
}

TEST_CASE("ridge regression keeps the centre where there is nothing to learn", "[refit]") {
  vbp::Random random(2);
  const Matrix<double> centre = gaussian(random, 3, 4);
  const Matrix<double> zero = Matrix<double>::Zero(4, 4);
  CHECK(vbp::ridge(zero, Matrix<double>::Zero(3, 4), centre, 1e-3) == centre);
  Matrix<double> singular = zero;
  singular(0, 0) = 1.0;
  CHECK_THROWS_WITH(vbp::ridge(singular, Matrix<double>::Zero(3, 4), centre, 0.0), Contains("singular"));
  const Matrix<double> v = vbp::ridge(singular, Matrix<double>::Zero(3, 4), centre, 1e-3);
  CHECK((v.rightCols(3) - centre.rightCols(3)).norm() <= 1e-12 * centre.norm());
  CHECK_THROWS_AS(vbp::ridge(zero, Matrix<double>::Zero(3, 5), centre, 1e-3), ShapeError);
  CHECK_THROWS_AS(vbp::ridge(zero, Matrix<double>::Zero(3, 4), centre, -1.0), ValueError);
}

TEST_CASE("ridge regression refuses what is not finite", "[refit]") {
  vbp::Random random(2);
  const Matrix<double> covariance = well_conditioned(random, 4), weight = gaussian(random, 3, 4);
  const auto spoilt = [](Matrix<double> matrix, Index column) {
    matrix(0, column) = std::numeric_limits<double>::quiet_NaN();
    return matrix;
  };
  for (const Index column : {0, 2}) {
    CAPTURE(column);
    CHECK_THROWS_WITH(vbp::ridge(spoilt(covariance, column), weight, weight, 1e-3), Contains("not finite"));
    CHECK_THROWS_WITH(vbp::ridge(covariance, spoilt(weight, column), weight, 1e-3), Contains("not finite"));
    CHECK_THROWS_WITH(vbp::ridge(covariance, weight, spoilt(weight, column), 1e-3), Contains("not finite"));
    const Matrix<double> zero = Matrix<double>::Zero(4, 4);
    CHECK_THROWS_WITH(vbp::ridge(spoilt(zero, column), weight, weight, 1e-3), Contains("not finite"));
    CHECK_THROWS_WITH(vbp::ridge(zero, spoilt(weight, column), weight, 1e-3), Contains("not finite"));
    CHECK_THROWS_WITH(vbp::ridge(zero, weight, spoilt(weight, column), 1e-3), Contains("not finite"));
  }
}

TEST_CASE("the refit equals the block-inverse update", "[refit]") {
  vbp::Random random(3);
  const Matrix<double> covariance = well_conditioned(random, 20);
  const Matrix<double> w2 = gaussian(random, 6, 20);
  const Vector<double> b2 = gaussian(random, 6, 1);
  const Vector<double> mean = gaussian(random, 20, 1);
  const Indices kept{0, 3, 4, 8, 9, 11, 15, 16, 19};
  const Indices pruned = vbp::complement(kept, 20);
  const vbp::LinearFit fit = vbp::refit(w2, b2, mean, covariance, kept, {.lambda = 0.0});
  // OB2C: dW = -W_P ([C^-1]_PP)^-1 [C^-1]_P: over all columns, of which the kept ones stay.
  const Matrix<double> inverse = covariance.inverse();
  const Matrix<double> pruned_inverse = vbp::submatrix<double>(inverse, pruned, pruned);
  const Matrix<double> update = -vbp::select_columns(w2, pruned) * pruned_inverse.inverse() *
                                vbp::submatrix<double>(inverse, pruned, kept);
  const Matrix<double> expected = vbp::select_columns(w2, kept) + update;
  CHECK((fit.weight - expected).norm() <= 1e-8 * expected.norm());
  // The mean of the output does not move.
  const Vector<double> before = w2 * mean + b2;
  const Vector<double> after = fit.weight * vbp::select(mean, kept) + fit.bias;
  CHECK((after - before).norm() <= 1e-12 * before.norm());
}

TEST_CASE("on the calibration set a refit never does worse than mean shift", "[refit]") {
  for (const Index samples : {3, 8, 40, 500}) {  // fewer and more samples than features
    for (const double lambda : {1e-6, 1e-3, 1.0}) {
      const Problem p(static_cast<std::uint64_t>(samples), samples, 24);
      const Indices kept{1, 2, 5, 7, 8, 13, 20, 23};
      const Matrix<double> expected = p.output(p.hidden, p.block.fc2_weight(), p.block.fc2_bias());
      std::vector<vbp::Mlp<double>> refitted{p.block}, shifted{p.block};
      const auto errors = vbp::refit_and_shrink_blocks(plan_of(24, kept), std::vector{p.covariance}, refitted,
                                                       {.lambda = lambda});
      vbp::fold_and_shrink_blocks(plan_of(24, kept), std::vector{p.covariance}, shifted);
      const Matrix<double> h = vbp::select_columns(p.hidden, kept);
      const double refit_error =
          sample_error(p.output(h, refitted[0].fc2_weight(), refitted[0].fc2_bias()), expected);
      const double shift_error =
          sample_error(p.output(h, shifted[0].fc2_weight(), shifted[0].fc2_bias()), expected);
      CAPTURE(samples, lambda);
      CHECK(refit_error < shift_error);
      // What it reports is what happened; n - 1 in the covariance against n here.
      const double n = static_cast<double>(samples);
      CHECK(errors[0].refit * (n - 1) / n == Approx(refit_error).epsilon(1e-9).margin(1e-9 * shift_error));
      CHECK(errors[0].mean_shift * (n - 1) / n == Approx(shift_error).epsilon(1e-9));
      CHECK(refitted[0].fc1_weight() == shifted[0].fc1_weight());
    }
  }
}

TEST_CASE("what the kept neurons predict exactly costs nothing", "[refit]") {
  // Neuron 2 is twice neuron 0 plus one; neuron 3 is constant; the covariance has rank two.
  vbp::Random random(5);
  Matrix<double> h = gaussian(random, 300, 4);
  h.col(2) = 2.0 * h.col(0).array() + 1.0;
  h.col(3).setConstant(7.0);
  vbp::Covariance<double> covariance(4);
  covariance.observe(h);
  const Matrix<double> w2 = gaussian(random, 3, 4);
  const Vector<double> b2 = gaussian(random, 3, 1);
  const Indices kept{0, 1};
  const vbp::LinearFit fit =
      vbp::refit(w2, b2, covariance.mean(), covariance.covariance(), kept, {.lambda = 1e-9});
  const Matrix<double> before = (h * w2.transpose()).rowwise() + b2.transpose();
  const Matrix<double> after = (h.leftCols(2) * fit.weight.transpose()).rowwise() + fit.bias.transpose();
  CHECK((after - before).norm() <= 1e-7 * before.norm());
  // Nothing pruned, nothing changed, however singular the covariance is.
  const Indices all{0, 1, 2, 3};
  const vbp::LinearFit same = vbp::refit(w2, b2, covariance.mean(), covariance.covariance(), all, {});
  CHECK((same.weight - w2).norm() <= 1e-9 * w2.norm());
  CHECK((same.bias - b2).norm() <= 1e-8 * b2.norm());
}

TEST_CASE("a single neuron is refitted by its own regression", "[refit]") {
  const Problem p(6, 100, 10);
  const Matrix<double> c = p.covariance.covariance();
  const vbp::LinearFit fit = vbp::refit(p.block.fc2_weight(), p.block.fc2_bias(), p.covariance.mean(), c,
                                        Indices{4}, {.lambda = 0.0});
  const Vector<double> slope = p.block.fc2_weight() * c.col(4) / c(4, 4);
  CHECK((fit.weight.col(0) - slope).norm() <= 1e-12 * slope.norm());
}

TEST_CASE("a refit that cannot be done changes no block and names it", "[refit]") {
  const Problem p(7, 100, 10);
  std::vector<vbp::Mlp<double>> blocks{p.block, p.block};
  vbp::PruningPlan plan = plan_of(10, {0, 1});
  plan.blocks.push_back({.name = "b", .width = 10, .kept = {2, 3}});
  const std::vector<vbp::Covariance<double>> one_unseen{p.covariance, vbp::Covariance<double>(10)};
  CHECK_THROWS_WITH(vbp::refit_and_shrink_blocks(plan, one_unseen, blocks), Contains("b: "));
  const std::vector<vbp::Covariance<double>> one_narrow{p.covariance, vbp::Covariance<double>(9)};
  CHECK_THROWS_AS(vbp::refit_and_shrink_blocks(plan, one_narrow, blocks), vbp::Error);
  CHECK_THROWS_AS(vbp::refit_and_shrink_blocks(plan, std::vector{p.covariance}, blocks), ShapeError);
  CHECK(blocks[0].hidden() == 10);
  CHECK(blocks[1].hidden() == 10);
}
