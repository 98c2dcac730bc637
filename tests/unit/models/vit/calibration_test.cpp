#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/plain_vit.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/vit/forward.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::Statistics;
using vbp::Vector;
using vbp::VisionTransformer;
using vbp::VitConfig;
using vbp::VitInference;
using Stats = std::vector<Statistics<double>>;

VitConfig small() {
  return {.architecture = "small",
          .image_size = 12,
          .patch_size = 4,
          .dim = 20,
          .heads = 2,
          .hidden_widths = {30, 17, 140},
          .classes = 4,
          .distillation_token = true,
          .register_tokens = 2};
}

bool same_bits(const Stats& a, const Stats& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].count() != b[i].count() || a[i].mean() != b[i].mean() || a[i].m2() != b[i].m2()) return false;
  }
  return true;
}

/// Column means and sample variances, in two passes.
void check_moments(const Statistics<double>& statistics, const Matrix<double>& samples, double tolerance) {
  REQUIRE(statistics.count() == samples.rows());
  const Vector<double> mean = samples.colwise().mean().transpose();
  const Vector<double> variance = (samples.rowwise() - mean.transpose()).colwise().squaredNorm().transpose() /
                                  static_cast<double>(samples.rows() - 1);
  CHECK((statistics.mean() - mean).cwiseAbs().maxCoeff() <= tolerance * mean.cwiseAbs().maxCoeff());
  CHECK((statistics.variance() - variance).cwiseAbs().maxCoeff() <= tolerance * variance.maxCoeff());
}

}  // namespace

TEST_CASE("statistics of hidden activations start empty, one a block", "[vit][calibration]") {
  const Stats statistics = vbp::hidden_statistics(small());
  REQUIRE(statistics.size() == 3);
  CHECK(statistics[0].features() == 30);
  CHECK(statistics[1].features() == 17);
  CHECK(statistics[2].features() == 140);
  CHECK(statistics[2].count() == 0);
  CHECK(vbp::block_names(small()) == std::vector<std::string>{"blocks.0", "blocks.1", "blocks.2"});
}

TEMPLATE_TEST_CASE("calibration sees every token of every image after GELU", "[vit][calibration]", float,
                   double) {
  const VisionTransformer<TestType> model = vbp_test::random_vit<TestType>(small(), 1);
  const Matrix<TestType> images = vbp_test::random_images<TestType>(small(), 11, 2);
  const vbp_test::PlainOutput expected = vbp_test::PlainVit(model)(images.template cast<double>());
  VitInference<TestType> inference(model, vbp::Context(2));
  Stats statistics = vbp::hidden_statistics(small());
  // In batches of 5, 5 and 1.
  for (Index row = 0; row < 11; row += 5) {
    const Matrix<TestType> batch = images.middleRows(row, std::min<Index>(5, 11 - row));
    const Matrix<TestType> logits = vbp::observe_hidden<TestType>(inference, batch, statistics);
    CHECK(logits == inference(batch));
  }
  const double tolerance = 1000 * static_cast<double>(std::numeric_limits<TestType>::epsilon());
  for (std::size_t b = 0; b < 3; ++b) {
    CHECK(statistics[b].count() == 11 * 13);
    check_moments(statistics[b], expected.hidden[b], tolerance);
  }
}

TEST_CASE("calibration gives the same bits for any number of threads", "[vit][calibration]") {
  const VisionTransformer<float> model = vbp_test::random_vit<float>(small(), 3);
  const Matrix<float> images = vbp_test::random_images<float>(small(), 30, 4);
  const auto run = [&](int threads) {
    VitInference<float> inference(model, vbp::Context(threads));
    Stats statistics = vbp::hidden_statistics(small());
    (void)vbp::observe_hidden<float>(inference, images.topRows(20), statistics);
    (void)vbp::observe_hidden<float>(inference, images.bottomRows(10), statistics);
    return statistics;
  };
  const Stats expected = run(1);
  for (const int threads : {2, 3, 7}) CHECK(same_bits(run(threads), expected));
}

TEST_CASE("parts of a calibration merge to the whole", "[vit][calibration]") {
  const VisionTransformer<float> model = vbp_test::random_vit<float>(small(), 5);
  const Matrix<float> images = vbp_test::random_images<float>(small(), 12, 6);
  VitInference<float> inference(model, vbp::Context(1));
  Stats whole = vbp::hidden_statistics(small());
  (void)vbp::observe_hidden<float>(inference, images, whole);
  Stats first = vbp::hidden_statistics(small()), second = first;
  (void)vbp::observe_hidden<float>(inference, images.topRows(7), first);
  (void)vbp::observe_hidden<float>(inference, images.bottomRows(5), second);
  for (std::size_t b = 0; b < 3; ++b) {
    first[b].merge(second[b]);
    CHECK(first[b].count() == whole[b].count());
    CHECK((first[b].mean() - whole[b].mean()).cwiseAbs().maxCoeff() <= 1e-14);
    CHECK((first[b].m2() - whole[b].m2()).cwiseAbs().maxCoeff() <= 1e-13 * whole[b].m2().maxCoeff());
  }
}

TEST_CASE("statistics that do not fit the model are refused", "[vit][calibration]") {
  VitInference<float> inference(vbp_test::random_vit<float>(small(), 7), vbp::Context(1));
  const Matrix<float> images = vbp_test::random_images<float>(small(), 2, 8);
  Stats few = vbp::hidden_statistics(small());
  few.pop_back();
  CHECK_THROWS_AS(vbp::observe_hidden<float>(inference, images, few), vbp::ShapeError);
  CHECK_THROWS_WITH(vbp::observe_hidden<float>(inference, images, few),
                    "statistics of 2 blocks for a model of 3");
  Stats wrong = vbp::hidden_statistics(small());
  wrong[1] = Statistics<double>(18);
  const Stats before = wrong;
  CHECK_THROWS_AS(vbp::observe_hidden<float>(inference, images, wrong), vbp::ShapeError);
  CHECK_THROWS_WITH(vbp::observe_hidden<float>(inference, images, wrong),
                    "blocks.1: statistics of 18 features for 17 hidden neurons");
  CHECK(same_bits(wrong, before));
  Stats statistics = vbp::hidden_statistics(small());
  CHECK_THROWS_AS(vbp::observe_hidden<float>(inference, Matrix<float>::Zero(1, 5), statistics),
                  vbp::ShapeError);
  CHECK(statistics[0].count() == 0);
}

TEST_CASE("an activation that is not finite is refused by block and neuron, and nothing is added",
          "[vit][calibration]") {
  VisionTransformer<float> model = vbp_test::random_vit<float>(small(), 9);
  VitInference<float> good(model, vbp::Context(1));
  const Matrix<float> images = vbp_test::random_images<float>(small(), 3, 10);
  Stats statistics = vbp::hidden_statistics(small());
  (void)vbp::observe_hidden<float>(good, images, statistics);
  const Stats before = statistics;
  // Finite weights whose products are not: neuron 5 of the second block is infinite for some tokens.
  model.blocks[1].fc1.weight.row(5).setConstant(std::numeric_limits<float>::max());
  VitInference<float> bad(model, vbp::Context(2));
  CHECK_THROWS_AS(vbp::observe_hidden<float>(bad, images, statistics), vbp::ValueError);
  CHECK_THROWS_WITH(vbp::observe_hidden<float>(bad, images, statistics),
                    Catch::StartsWith("blocks.1: feature 5 of sample "));
  CHECK(same_bits(statistics, before));
}
