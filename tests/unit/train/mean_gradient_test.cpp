#include "vbp/train/mean_gradient.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/prune/criteria/snip.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::MeanGradient;

/// By the forward pass of Inference in double, which is another implementation.
double mean_loss(const vbp::VisionTransformer<double>& model, const Matrix<double>& images,
                 const std::vector<Index>& labels) {
  vbp::VitInference<double> inference(model, vbp::Context(1));
  const Matrix<double> logits = inference(images);
  double sum = 0.0;
  for (Index i = 0; i < logits.rows(); ++i) {
    sum += std::log(logits.row(i).array().exp().sum()) - logits(i, labels[static_cast<std::size_t>(i)]);
  }
  return sum / static_cast<double>(logits.rows());
}

}  // namespace

TEST_CASE("SNIP's scores are slopes of the mean loss by masks of the weights", "[snip]") {
  const auto model = vbp_test::draw_vit<float>(vbp_test::tiny_config(), 51);
  const Matrix<float> images = vbp_test::gaussian<float>(52, 7, model.config.image_elements());
  const std::vector<Index> labels{0, 1, 2, 2, 1, 0, 1};
  // In batches of different sizes, whose images must count alike.
  MeanGradient gradient(model, {}, vbp::Context(1));
  gradient.observe(images.topRows(5), {labels.begin(), labels.begin() + 5});
  gradient.observe(images.bottomRows(2), {labels.begin() + 5, labels.end()});
  CHECK(gradient.images() == 7);
  const vbp::Scores scores = vbp::snip_scores(model.blocks, gradient.gradient().blocks);

  auto masked = vbp::cast<double>(model);
  const Matrix<double> exact = images.cast<double>();
  for (std::size_t b = 0; b < masked.blocks.size(); ++b) {
    auto& block = masked.blocks[b];
    for (Index j = 0; j < block.fc1.weight.rows(); ++j) {
      double expected = 0.0;
      const auto add = [&](double& weight) {
        constexpr double h = 1e-4;
        const double at = weight;
        weight = at * (1.0 + h);
        const double above = mean_loss(masked, exact, labels);
        weight = at * (1.0 - h);
        const double below = mean_loss(masked, exact, labels);
        weight = at;
        expected += std::abs(above - below) / (2.0 * h);
      };
      for (Index i = 0; i < block.fc1.weight.cols(); ++i) add(block.fc1.weight(j, i));
      add(block.fc1.bias(j));
      for (Index i = 0; i < block.fc2.weight.rows(); ++i) add(block.fc2.weight(i, j));
      // The gradient is float32's: a few hundred roundings of 6e-8 beside the sum of the magnitudes.
      CHECK(scores[b](j) == Approx(expected).epsilon(1e-4));
    }
  }
}

TEST_CASE("a mean gradient refuses what has none", "[snip]") {
  auto config = vbp_test::tiny_config();
  const auto model = vbp_test::draw_vit<float>(config, 53);
  MeanGradient gradient(model, {}, vbp::Context(1));
  CHECK_THROWS_AS(gradient.gradient(), vbp::ValueError);
  const Matrix<float> images = vbp_test::gaussian<float>(54, 2, config.image_elements());
  CHECK_THROWS_AS(gradient.observe(images, {0}), vbp::ShapeError);
  CHECK_THROWS_AS(gradient.observe(images, {0, 3}), vbp::ValueError);
  CHECK(gradient.images() == 0);
  config.classes = 0;
  const auto headless = vbp_test::draw_vit<float>(config, 55);
  CHECK_THROWS_AS(MeanGradient(headless), vbp::ValueError);
}
