#include "vbp/train/backpropagation.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/vit/inference.hpp"

namespace {

using vbp::Backpropagation;
using vbp::Index;
using vbp::Matrix;
using vbp::VisionTransformer;
using vbp_test::draw_vit;
using vbp_test::gaussian;

/// The gradient of sum(weights * logits) by every parameter, and the logits.
template <class T>
struct Gradient {
  Matrix<T> logits;
  VisionTransformer<T> parameters;
};

template <class T>
Gradient<T> differentiate(const VisionTransformer<T>& model, const Matrix<T>& images,
                          const Matrix<T>& weights, vbp::BackpropagationOptions options) {
  Gradient<T> result{Matrix<T>(images.rows(), model.config.outputs()), vbp::make_vit<T>(model.config)};
  // What a gradient held before must not matter.
  vbp::for_each_parameter(result.parameters,
                          [](const std::string&, auto& values, Index, Index) { values.setConstant(T(7)); });
  Backpropagation<T> network(model, options);
  network.forward(images, result.logits.data());
  network.backward(weights.data(), result.parameters);
  return result;
}

template <class T>
bool same_bits(const VisionTransformer<T>& a, const VisionTransformer<T>& b) {
  std::vector<const T*> others;
  vbp::for_each_parameter(
      b, [&](const std::string&, const auto& values, Index, Index) { others.push_back(values.data()); });
  std::size_t next = 0;
  bool same = true;
  vbp::for_each_parameter(a, [&](const std::string&, const auto& values, Index, Index) {
    const T* const other = others[next++];
    for (Index i = 0; i < values.size(); ++i) same = same && values.data()[i] == other[i];
  });
  return same;
}

}  // namespace

TEST_CASE("the gradient of every parameter is that of finite differences") {
  for (const auto& [variant, config] : vbp_test::tiny_vits()) {
    // A reference of its own, since clang 14 captures no structured binding.
    const auto& name = variant;
    const auto model = draw_vit<double>(config, 1);
    const Matrix<double> images = gaussian<double>(2, 3, config.image_elements());
    const Matrix<double> weights = gaussian<double>(3, 3, config.outputs());
    const auto result = differentiate<double>(model, images, weights, {.threads = 1});
    std::vector<const double*> gradients;
    vbp::for_each_parameter(result.parameters, [&](const std::string&, const auto& values, Index, Index) {
      gradients.push_back(values.data());
    });

    auto moved = model;
    // The oracle is the forward pass of Inference, which is another implementation.
    const auto loss = [&] {
      vbp::Inference<double> inference(moved, {.threads = 1});
      return (inference(images).array() * weights.array()).sum();
    };
    std::size_t next = 0;
    vbp::for_each_parameter(moved, [&](const std::string& parameter, auto& values, Index, Index) {
      const double* const gradient = gradients[next++];
      for (Index i = 0; i < values.size(); ++i) {
        // Central differences over four points: the error is h^4 / 30 of the fifth derivative, below 1e-9
        // here, plus the rounding of the loss, about 1e-14, divided by h.
        constexpr double h = 2.5e-4;
        const double at = values.data()[i];
        const auto loss_at = [&](double offset) {
          values.data()[i] = at + offset;
          return loss();
        };
        const double slope =
            (8.0 * (loss_at(h) - loss_at(-h)) - (loss_at(2 * h) - loss_at(-2 * h))) / (12 * h);
        values.data()[i] = at;
        INFO(name << ": " << parameter << "[" << i << "]");
        CHECK(std::abs(gradient[i] - slope) <= 1e-8 * (1.0 + std::abs(slope)));
      }
    });
  }
}

TEST_CASE("the forward pass gives the logits of inference") {
  for (const auto& [name, config] : vbp_test::tiny_vits()) {
    INFO(name);
    const auto model = draw_vit<double>(config, 4);
    const Matrix<double> images = gaussian<double>(5, 5, config.image_elements());
    Matrix<double> logits(5, config.outputs());
    Backpropagation<double>(model, {.threads = 2}).forward(images, logits.data());
    const Matrix<double> expected = vbp::Inference<double>(model)(images);
    CHECK((logits - expected).norm() <= 1e-13 * expected.norm());
  }
}

TEST_CASE("gradients depend on neither threads nor what is kept, to the bit") {
  for (auto [name, config] : vbp_test::tiny_vits()) {
    INFO(name);
    // More rows than one chunk of a weight's gradient holds.
    config.hidden_widths = {40, 19, 33};
    const auto model = draw_vit<float>(config, 6);
    const Matrix<float> images = gaussian<float>(7, 150, config.image_elements());
    const Matrix<float> weights = gaussian<float>(8, 150, config.outputs());
    const auto expected = differentiate<float>(model, images, weights, {.threads = 1});
    for (const int threads : {2, 3, 5}) {
      const auto other = differentiate<float>(model, images, weights, {.threads = threads});
      CHECK(same_bits(other.parameters, expected.parameters));
      CHECK(other.logits == expected.logits);
    }
    const auto recomputed = differentiate<float>(model, images, weights, {.threads = 2, .recompute = true});
    CHECK(same_bits(recomputed.parameters, expected.parameters));
  }
}

TEST_CASE("memory is what was announced, and a second batch of the size takes none") {
  auto config = vbp_test::tiny_config();
  config.hidden_widths = {64, 48, 64, 16};
  const auto model = draw_vit<float>(config, 9);
  const Matrix<float> images = gaussian<float>(10, 9, config.image_elements());
  const Matrix<float> weights = gaussian<float>(11, 9, config.outputs());
  Matrix<float> logits(9, config.outputs());
  auto gradient = vbp::make_vit<float>(config);
  for (const bool recompute : {false, true}) {
    Backpropagation<float> network(model, {.threads = 2, .recompute = recompute});
    const Index before = network.bytes();
    network.forward(images, logits.data());
    CHECK(network.bytes() - before >= vbp::activation_bytes<float>(config, 9, recompute));
    network.backward(weights.data(), gradient);
    const Index after = network.bytes();
    network.forward(images, logits.data());
    network.backward(weights.data(), gradient);
    CHECK(network.bytes() == after);
  }
  // What recomputing saves of a block: q, k, v, the heads' output, the middle of the stream and the hidden
  // layer; one block of the widest remains.
  const Index rows = 9 * config.tokens();
  const Index kept = rows * (4 * 5 * config.dim + 64 + 48 + 64 + 16);
  const Index remaining = rows * (5 * config.dim + 64);
  const Index saved =
      vbp::activation_bytes<float>(config, 9, false) - vbp::activation_bytes<float>(config, 9, true);
  CHECK(std::abs(saved / 4 - (kept - remaining)) <= 64 * 4 * 4);
}

TEST_CASE("what does not fit is refused") {
  const auto config = vbp_test::tiny_config();
  auto model = draw_vit<float>(config, 12);
  Backpropagation<float> network(model, {.threads = 1});
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
  CHECK_THROWS_AS(Backpropagation<float>(model), vbp::ValueError);
}
