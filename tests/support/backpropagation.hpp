#pragma once
/// What is proved of the backward pass of every family.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/train/loss.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp_test {

/// The gradient of sum(weights * logits) by every parameter, and the logits.
template <class Model>
struct Gradient {
  vbp::Matrix<typename Model::Scalar> logits;
  Model parameters;
};

template <class Model, class T = typename Model::Scalar>
Gradient<Model> differentiate(const Model& model, const vbp::Matrix<T>& images, const vbp::Matrix<T>& weights,
                              const vbp::BackpropagationOptions& options, const vbp::Context& context) {
  Gradient<Model> result{vbp::Matrix<T>(images.rows(), model.config.outputs()), model};
  // What a gradient held before must not matter.
  for_each_parameter(result.parameters, [](const std::string&, auto& values, vbp::Index, vbp::Index) {
    values.setConstant(T(7));
  });
  vbp::Backpropagation<Model> network(model, options, context);
  network.forward(images, result.logits);
  network.backward(weights, result.parameters);
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
  using Inference = typename Model::Inference;
  static_assert(std::is_same_v<typename Model::Scalar, double>);
  const auto images = gaussian<double>(2, 3, model.config.image_elements());
  const auto weights = gaussian<double>(3, 3, model.config.outputs());
  const auto result = differentiate(model, images, weights, {}, vbp::Context(1));
  const vbp::Matrix<double> expected = Inference(model)(images);
  CHECK((result.logits - expected).norm() <= 1e-13 * expected.norm());

  std::vector<const double*> gradients;
  for_each_parameter(result.parameters, [&](const std::string&, const auto& values, Index, Index) {
    gradients.push_back(values.data());
  });
  Model moved = model;
  const auto loss = [&] {
    Inference inference(moved, vbp::Context(1));
    return (inference(images).array() * weights.array()).sum();
  };
  std::size_t next = 0;
  for_each_parameter(moved, [&](const std::string& parameter, auto& values, Index, Index) {
    const double* const gradient = gradients[next++];
    for (Index i = 0; i < values.size(); ++i) {
      // Central differences over four points: the error is h^4 / 30 of the fifth derivative, below 1e-9
      // here, plus the rounding of the loss, about 1e-14, divided by h.
      constexpr double h = 1e-4;
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

/// Compares a parameter, or the gradient by it, with the stored one by norm. Adding a vector to all keys
/// changes no softmax, so the gradient of the keys' bias is zero but for rounding, and its weights move by
/// rounding alone: it is compared absolutely, or left out where `key_bias` is infinite.
inline void check_close(const std::string& name, const float* values, vbp::Index size,
                        const vbp::Vector<float>& expected, double key_bias) {
  INFO(name);
  REQUIRE(expected.size() == size);
  vbp::Vector<float> difference = Eigen::Map<const vbp::Vector<float>>(values, size) - expected;
  vbp::Vector<float> reference = expected;
  if (name.ends_with("qkv.bias")) {
    const vbp::Index dim = size / 3;
    CHECK(difference.segment(dim, dim).cwiseAbs().maxCoeff() <= key_bias);
    difference.segment(dim, dim).setZero();
    reference.segment(dim, dim).setZero();
  }
  CHECK(difference.norm() <= 1e-4F * reference.norm());
}

inline std::vector<vbp::Index> labels_of(const vbp::io::SafetensorsFile& file) {
  const auto stored = file.read_array<std::int64_t>("labels");
  return {stored.begin(), stored.end()};
}

/// Loss and gradients against those of a file of make_gradients.py.
template <class Model>
void check_golden_gradients(const Model& model, const vbp::Matrix<float>& images,
                            const vbp::io::SafetensorsFile& golden) {
  using vbp::Index;
  vbp::Matrix<float> targets, d_logits, logits(images.rows(), model.config.classes);
  vbp::set_targets(labels_of(golden), model.config.classes, 0.0, targets);
  Model gradient = vbp::zeros_like(model);
  vbp::Backpropagation<Model> network(model, {}, vbp::Context(2));
  network.forward(images, logits);
  const double loss = vbp::loss_and_gradient<float>(logits, targets, vbp::Matrix<float>(), {}, d_logits);
  network.backward(d_logits, gradient);
  CHECK(loss == Approx(golden.read_vector<float>("loss", 1)[0]).epsilon(1e-5));
  for_each_parameter(gradient, [&](const std::string& name, const auto& values, Index, Index) {
    check_close(name, values.data(), values.size(), golden.read_vector<float>("gradient." + name), 1e-6);
  });
}

/// Of a model in float: the bits do not depend on threads or on what is kept.
template <class Model>
void check_same_bits(const Model& model, vbp::Index images) {
  const auto inputs = gaussian<float>(7, images, model.config.image_elements());
  const auto weights = gaussian<float>(8, images, model.config.outputs());
  const auto expected = differentiate(model, inputs, weights, {}, vbp::Context(1));
  for (const int threads : {2, 3, 5}) {
    const auto other = differentiate(model, inputs, weights, {}, vbp::Context(threads));
    CHECK(same_bits(other.parameters, expected.parameters));
    CHECK(other.logits == expected.logits);
  }
  const auto recomputed = differentiate(model, inputs, weights, {.recompute = true}, vbp::Context(2));
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
    vbp::Backpropagation<Model> network(model, {.recompute = recompute}, vbp::Context(2));
    const vbp::Index before = network.bytes();
    network.forward(images, logits);
    CHECK(network.bytes() - before >= vbp::activation_bytes(model, 9, recompute));
    network.backward(weights, gradient);
    const vbp::Index after = network.bytes();
    network.forward(images, logits);
    network.backward(weights, gradient);
    CHECK(network.bytes() == after);
  }
}

/// A few epochs on 40 images: it learns them by heart, and by a teacher, with everything that is kept on, a
/// run that was saved and restored ends with the bits of an unbroken one.
template <class Model>
void check_training(const Model& start, double learning_rate) {
  using vbp::Index;
  vbp::TrainingBatch data{gaussian<float>(21, 40, start.config.image_elements()), {}};
  for (Index i = 0; i < 40; ++i) data.labels.push_back((i * 7 + i / 5) % start.config.classes);
  const auto next = [&](vbp::TrainingBatch& batch) { return batch = data, true; };
  vbp::TrainingStep step;
  const auto run = [&](vbp::Trainer<Model>& trainer, std::int64_t epochs) {
    while (trainer.progress().epoch < epochs) {
      REQUIRE(trainer.step(next, step));
      trainer.end_epoch();
    }
  };
  vbp::TrainingOptions options{
      .epochs = 200, .batch = 40, .learning_rate = learning_rate, .warmup_epochs = 10};
  vbp::Trainer<Model> trainer(start, nullptr, options, 40, vbp::Context(2));
  run(trainer, 200);
  CHECK(step.loss < 5e-2);
  CHECK(step.correct == 40);

  options.loss = {.cross_entropy = 0.5, .distillation = 0.5};
  options.average = 0.9;
  options.optimiser.layer_decay = 0.8;
  vbp::Trainer<Model> unbroken(start, &trainer.model(), options, 40, vbp::Context(2));
  run(unbroken, 6);
  const TemporaryFolder folder;
  vbp::Trainer<Model> first(start, &trainer.model(), options, 40, vbp::Context(2));
  run(first, 3);
  first.save(folder / "state", {});
  vbp::Trainer<Model> second(start, &trainer.model(), options, 40, vbp::Context(2));
  second.restore(folder / "state");
  run(second, 6);
  CHECK(same_bits(second.model(), unbroken.model()));
}

}  // namespace vbp_test
