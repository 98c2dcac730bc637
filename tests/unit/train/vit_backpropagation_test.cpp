#include <cmath>
#include <utility>

#include "support/backpropagation.hpp"
#include "support/catch.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/core/error.hpp"
#include "vbp/models/vit/backward.hpp"

namespace {

using vbp::Backpropagation;
using vbp::Index;
using vbp::Matrix;
using vbp_test::draw_vit;

}  // namespace

TEST_CASE("the gradient of every parameter is that of finite differences") {
  for (const auto& [name, config] : vbp_test::tiny_vits()) {
    INFO(name);
    vbp_test::check_finite_differences(draw_vit<double>(config, 1));
  }
}

TEST_CASE("gradients depend on neither threads nor what is kept, to the bit") {
  for (auto [name, config] : vbp_test::tiny_vits()) {
    INFO(name);
    // More rows than one chunk of a weight's gradient holds.
    config.hidden_widths = {40, 19, 33};
    vbp_test::check_same_bits(draw_vit<float>(config, 6), 150);
  }
}

TEST_CASE("memory is what was announced, and a second batch of the size takes none") {
  auto config = vbp_test::tiny_config();
  config.hidden_widths = {64, 48, 64, 16};
  const auto model = draw_vit<float>(config, 9);
  vbp_test::check_memory(model);
  // What recomputing saves of a block: q, k, v, the heads' output, the middle of the stream and the hidden
  // layer; one block of the widest remains.
  const Index rows = 9 * config.tokens();
  const Index kept = rows * (4 * 5 * config.dim + 64 + 48 + 64 + 16);
  const Index remaining = rows * (5 * config.dim + 64);
  const Index saved = vbp::activation_bytes(model, 9, false) - vbp::activation_bytes(model, 9, true);
  CHECK(std::abs(saved / 4 - (kept - remaining)) <= 64 * 4 * 4);
}

TEST_CASE("what does not fit is refused") {
  const auto config = vbp_test::tiny_config();
  auto model = draw_vit<float>(config, 12);
  Backpropagation network(model, {}, vbp::Context(1));
  auto gradient = vbp::make_model<vbp::VisionTransformer<float>>(config);
  Matrix<float> logits(2, config.classes);
  CHECK_THROWS_AS(network.backward(logits, gradient), vbp::ShapeError);
  CHECK_THROWS_AS(network.forward(Matrix<float>::Zero(2, 5), logits), vbp::ShapeError);
  CHECK_THROWS_AS(network.forward(Matrix<float>(0, config.image_elements()), logits), vbp::ShapeError);
  // A forward pass serves one backward pass.
  network.forward(Matrix<float>::Zero(2, config.image_elements()), logits);
  network.backward(logits, gradient);
  CHECK_THROWS_AS(network.backward(logits, gradient), vbp::ShapeError);
  CHECK_THROWS_AS(network.forward(Matrix<float>::Zero(2, config.image_elements()), logits.topRows(1)),
                  vbp::ShapeError);
  network.forward(Matrix<float>::Zero(2, config.image_elements()), logits);
  CHECK_THROWS_AS(network.backward(logits.topRows(1), gradient), vbp::ShapeError);
  CHECK_NOTHROW(network.backward(logits, gradient));
  model.norm.weight[0] = NAN;
  CHECK_THROWS_AS(Backpropagation(std::as_const(model)), vbp::ValueError);
}

TEST_CASE("average pooling trains on what inference pools, wherever an image is in the batch") {
  for (const vbp::Pooling pooling : {vbp::Pooling::average, vbp::Pooling::class_token_and_average}) {
    // An odd width shifts the alignment from image to image, on which the rounding must not depend.
    auto config = vbp_test::tiny_config();
    config.image_size = 14;
    config.dim = 21;
    config.heads = 3;
    config.pooling = pooling;
    config.classes = 0;
    const auto model = draw_vit<float>(config, 14);
    const auto images = vbp_test::gaussian<float>(15, 5, config.image_elements());
    Backpropagation network(model, {}, vbp::Context(2));
    Matrix<float> logits(5, config.outputs()), alone(1, config.outputs());
    network.forward(images, logits);
    for (Index i = 0; i < 5; ++i) {
      INFO(i);
      network.forward(images.middleRows(i, 1), alone);
      CHECK(alone == Matrix<float>(logits.middleRows(i, 1)));
    }
  }
}

TEST_CASE("training reads and writes logits whose rows lie apart") {
  for (const bool distilled : {false, true}) {
    auto config = vbp_test::tiny_config();
    config.distillation_token = distilled;
    const auto model = draw_vit<float>(config, 16);
    const auto images = vbp_test::gaussian<float>(17, 4, config.image_elements());
    const auto weights = vbp_test::gaussian<float>(18, 4, config.classes);
    const auto expected = vbp_test::differentiate(model, images, weights, {}, vbp::Context(1));
    Matrix<float> wide = Matrix<float>::Constant(4, config.classes + 3, 7.0F), wide_weights = wide;
    wide_weights.middleCols(1, config.classes) = weights;
    auto gradient = vbp::zeros_like(model);
    Backpropagation network(model, {}, vbp::Context(1));
    network.forward(images, wide.middleCols(2, config.classes));
    network.backward(wide_weights.middleCols(1, config.classes), gradient);
    CHECK(Matrix<float>(wide.middleCols(2, config.classes)) == expected.logits);
    CHECK(vbp_test::same_bits(gradient, expected.parameters));
  }
}
