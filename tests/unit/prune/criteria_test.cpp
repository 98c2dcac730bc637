#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/error.hpp"
#include "vbp/prune/criteria/clusters.hpp"
#include "vbp/prune/criteria/denoised.hpp"
#include "vbp/prune/criteria/output_variance.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::Vector;
using vbp_test::gaussian;

}  // namespace

TEST_CASE("the output variance of a neuron is the output error of removing it alone", "[criteria]") {
  vbp::Random random(1);
  const Matrix<double> weight = gaussian(random, 5, 8);
  const Vector<double> variance = gaussian(random, 8, 1).cwiseAbs();
  const Vector<double> scores = vbp::output_variance_scores(variance, weight);
  for (Index j = 0; j < 8; ++j) {
    // The trace of the output's covariance when only neuron j varies.
    const Matrix<double> output = variance(j) * weight.col(j) * weight.col(j).transpose();
    CHECK(scores(j) == Approx(output.trace()));
  }
  CHECK_THROWS_AS(vbp::output_variance_scores(variance.head(7), weight), vbp::ShapeError);
}

TEST_CASE("denoised variances leave noise out and keep what exceeds it", "[criteria]") {
  // Unit noise in 40 features, and one strong direction.
  Matrix<double> covariance = Matrix<double>::Identity(40, 40);
  Vector<double> direction = Vector<double>::Zero(40);
  direction(3) = 0.6;
  direction(7) = 0.8;
  covariance += 99.0 * direction * direction.transpose();
  const Vector<double> scores = vbp::denoised_scores(covariance, 1000, 1.0);
  CHECK(scores(3) == Approx(100.0 * 0.36));
  CHECK(scores(7) == Approx(100.0 * 0.64));
  CHECK(scores(0) == Approx(0.0).margin(1e-12));
  // At rate 0 they are the variances, between 0 and 1 a mixture of both.
  CHECK(vbp::denoised_scores(covariance, 1000, 0.0) == Vector<double>(covariance.diagonal()));
  CHECK(vbp::denoised_scores(covariance, 1000, 0.25)(0) == Approx(0.75));
  CHECK_THROWS_AS(vbp::denoised_scores(covariance, 0, 0.5), vbp::ValueError);
}

TEST_CASE("of two neurons that do the same one goes for nothing", "[criteria]") {
  Matrix<double> covariance = Matrix<double>::Identity(3, 3);
  covariance(0, 2) = covariance(2, 0) = 2.0;  // neuron 2 is twice neuron 0
  covariance(2, 2) = 4.0;
  const Matrix<double> weight = Matrix<double>::Ones(1, 3);
  const vbp::Ranking ranking = vbp::cluster_ranking(covariance, weight);
  CHECK(ranking.order == std::vector<Index>{0, 1, 2});
  CHECK(ranking.cost == std::vector<double>{0.0, 1.0, 4.0});
  CHECK_THROWS_AS(vbp::cluster_ranking(covariance, Matrix<double>::Ones(1, 2)), vbp::ShapeError);
}
