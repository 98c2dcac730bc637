#pragma once
/// What is proved of the backward pass of every family.

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/types.hpp"
#include "vbp/model/parameters.hpp"
#include "vbp/train/backpropagation.hpp"

namespace vbp_test {

/// The gradient of sum(weights * logits) by every parameter, and the logits.
template <class Model>
struct Gradient {
  vbp::Matrix<typename Model::Scalar> logits;
  Model parameters;
};

template <class Model, class T = typename Model::Scalar>
Gradient<Model> differentiate(const Model& model, const vbp::Matrix<T>& images, const vbp::Matrix<T>& weights,
                              vbp::BackpropagationOptions options) {
  Gradient<Model> result{vbp::Matrix<T>(images.rows(), model.config.outputs()), model};
  // What a gradient held before must not matter.
  vbp::for_each_parameter(result.parameters, [](const std::string&, auto& values, vbp::Index, vbp::Index) {
    values.setConstant(T(7));
  });
  vbp::Backpropagation<Model> network(model, options);
  network.forward(images, result.logits.data());
  network.backward(weights.data(), result.parameters);
  return result;
}

template <class Model>
bool same_bits(const Model& a, const Model& b) {
  bool same = true;
  Model copy = a;
  vbp::for_each_parameter_pair(copy, b, [&](const auto* one, const auto* other, vbp::Index size) {
    for (vbp::Index i = 0; i < size; ++i) same = same && one[i] == other[i];
  });
  return same;
}

/// Of a model in double: every component against finite differences of the family's inference, which is
/// another implementation of the forward pass; and the logits against it.
template <class Model>
void check_finite_differences(const Model& model) {
  using vbp::Index;
  using Inference = typename vbp::detail::Passes<Model>::Inference;
  static_assert(std::is_same_v<typename Model::Scalar, double>);
  const auto images = gaussian<double>(2, 3, model.config.image_elements());
  const auto weights = gaussian<double>(3, 3, model.config.outputs());
  const auto result = differentiate(model, images, weights, {.threads = 1});
  const vbp::Matrix<double> expected = Inference(model)(images);
  CHECK((result.logits - expected).norm() <= 1e-13 * expected.norm());

  std::vector<const double*> gradients;
  vbp::for_each_parameter(result.parameters, [&](const std::string&, const auto& values, Index, Index) {
    gradients.push_back(values.data());
  });
  Model moved = model;
  const auto loss = [&] {
    Inference inference(moved, {.threads = 1});
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
      const double slope = (8.0 * (loss_at(h) - loss_at(-h)) - (loss_at(2 * h) - loss_at(-2 * h))) / (12 * h);
      values.data()[i] = at;
      INFO(parameter << "[" << i << "]");
      CHECK(std::abs(gradient[i] - slope) <= 1e-8 * (1.0 + std::abs(slope)));
    }
  });
}

/// Of a model in float: the bits do not depend on threads or on what is kept.
template <class Model>
void check_same_bits(const Model& model, vbp::Index images) {
  const auto inputs = gaussian<float>(7, images, model.config.image_elements());
  const auto weights = gaussian<float>(8, images, model.config.outputs());
  const auto expected = differentiate(model, inputs, weights, {.threads = 1});
  for (const int threads : {2, 3, 5}) {
    const auto other = differentiate(model, inputs, weights, {.threads = threads});
    CHECK(same_bits(other.parameters, expected.parameters));
    CHECK(other.logits == expected.logits);
  }
  const auto recomputed = differentiate(model, inputs, weights, {.threads = 2, .recompute = true});
  CHECK(same_bits(recomputed.parameters, expected.parameters));
}

/// Memory is what was announced, and a second batch of the size takes none.
template <class Model>
void check_memory(const Model& model) {
  const auto images = gaussian<float>(10, 9, model.config.image_elements());
  const auto weights = gaussian<float>(11, 9, model.config.outputs());
  vbp::Matrix<float> logits(9, model.config.outputs());
  Model gradient = model;
  for (const bool recompute : {false, true}) {
    vbp::Backpropagation<Model> network(model, {.threads = 2, .recompute = recompute});
    const vbp::Index before = network.bytes();
    network.forward(images, logits.data());
    CHECK(network.bytes() - before >= vbp::activation_bytes(model, 9, recompute));
    network.backward(weights.data(), gradient);
    const vbp::Index after = network.bytes();
    network.forward(images, logits.data());
    network.backward(weights.data(), gradient);
    CHECK(network.bytes() == after);
  }
}

}  // namespace vbp_test
