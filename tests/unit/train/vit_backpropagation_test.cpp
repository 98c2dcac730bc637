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
  Backpropagation network(model, {.threads = 1});
  auto gradient = vbp::make_vit<float>(config);
  Matrix<float> logits(2, config.classes);
  CHECK_THROWS_AS(network.backward(logits.data(), gradient), vbp::ShapeError);
  CHECK_THROWS_AS(network.forward(Matrix<float>::Zero(2, 5), logits.data()), vbp::ShapeError);
  CHECK_THROWS_AS(network.forward(Matrix<float>(0, config.image_elements()), logits.data()), vbp::ShapeError);
  // A forward pass serves one backward pass.
  network.forward(Matrix<float>::Zero(2, config.image_elements()), logits.data());
  network.backward(logits.data(), gradient);
  CHECK_THROWS_AS(network.backward(logits.data(), gradient), vbp::ShapeError);
  model.norm.weight[0] = NAN;
  CHECK_THROWS_AS(Backpropagation(std::as_const(model)), vbp::ValueError);
}
