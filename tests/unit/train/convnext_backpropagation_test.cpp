#include "vbp/train/convnext_backpropagation.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/backpropagation.hpp"
#include "support/catch.hpp"
#include "support/convnext.hpp"
#include "support/folder.hpp"
#include "vbp/core/error.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/train/initialise.hpp"
#include "vbp/train/loss.hpp"
#include "vbp/train/trainer.hpp"

namespace {

using vbp::ConvNextConfig;
using vbp::Index;
using vbp::Matrix;
using vbp_test::draw_convnext;

/// Two stages whose maps have 3 pixels a side and 1, the last row and column of the first left out.
ConvNextConfig tiny_convnext() {
  return {.architecture = "tiny",
          .image_size = 7,
          .patch_size = 2,
          .channels = 2,
          .dims = {3, 4},
          .depths = {2, 1},
          .hidden_widths = {5, 4, 6},
          .classes = 3};
}

struct Variant {
  std::string name;
  ConvNextConfig config;
};

std::vector<Variant> variants() {
  std::vector<Variant> all{{"plain", tiny_convnext()}};
  const auto add = [&](const char* name, auto&& change) {
    all.push_back({name, tiny_convnext()});
    change(all.back().config);
  };
  add("no layer scale", [](auto& c) { c.layer_scale = false; });
  add("tanh approximation, other epsilons", [](auto& c) {
    c.activation = vbp::Activation::gelu_tanh;
    c.epsilon = 0.02;
    c.head_epsilon = 0.1;
  });
  add("no head", [](auto& c) { c.classes = 0; });
  add("one stage", [](auto& c) {
    c.dims = {4};
    c.depths = {1};
    c.hidden_widths = {5};
  });
  return all;
}

}  // namespace

TEST_CASE("the gradient of every parameter of a ConvNeXt is that of finite differences", "[convnext]") {
  for (const auto& [name, config] : variants()) {
    INFO(name);
    vbp_test::check_finite_differences(draw_convnext<double>(config, 1));
  }
}

TEST_CASE("the gradient of every parameter of a ConvNeXt is PyTorch's", "[convnext]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const vbp::ConvNext<float> model = vbp_test::golden_convnext(name);
    const vbp::io::SafetensorsFile golden(vbp_test::kConvNextGolden / "../train" /
                                          ("convnext_" + name + ".gradients.safetensors"));
    const Matrix<float> images = vbp_test::golden_convnext_tensor(name, "inputs").cast<float>();
    const auto stored = golden.read_array<std::int64_t>("labels");
    Matrix<float> targets, d_logits, logits(images.rows(), model.config.classes);
    vbp::set_targets({stored.begin(), stored.end()}, model.config.classes, 0.0, targets);
    auto gradient = vbp::zeros_like(model);
    vbp::Backpropagation network(model, {.threads = 2});
    network.forward(images, logits.data());
    const double loss = vbp::loss_and_gradient<float>(logits, targets, Matrix<float>(), {}, d_logits);
    network.backward(d_logits.data(), gradient);
    CHECK(loss == Approx(golden.read_vector<float>("loss", 1)[0]).epsilon(1e-5));
    vbp::for_each_parameter(gradient, [&](const std::string& parameter, const auto& values, Index, Index) {
      INFO(parameter);
      const vbp::Vector<float> expected = golden.read_vector<float>("gradient." + parameter);
      REQUIRE(expected.size() == values.size());
      CHECK(vbp_test::relative_distance(Eigen::Map<const vbp::Vector<float>>(values.data(), values.size()),
                                        expected) <= 1e-4);
    });
  }
}

TEST_CASE("gradients of a ConvNeXt depend on neither threads nor what is kept, to the bit", "[convnext]") {
  for (const auto& [name, config] : variants()) {
    INFO(name);
    // More rows than one chunk of a weight's gradient holds.
    vbp_test::check_same_bits(draw_convnext<float>(config, 6), 150);
  }
  vbp_test::check_same_bits(draw_convnext<float>(vbp_test::small_convnext(), 6), 40);
}

TEST_CASE("memory of a ConvNeXt's training is what was announced", "[convnext]") {
  const ConvNextConfig config = vbp_test::small_convnext();
  const auto model = draw_convnext<float>(config, 9);
  vbp_test::check_memory(model);
  // What recomputing saves: of each block the convolution's output and the hidden layer, but the largest.
  const Index kept = 9 * (36 * (6 + 24) + 9 * (10 + 40) + 9 * (10 + 33) + 1 * (16 + 64));
  const Index remaining = 9 * 36 * (6 + 24);
  const Index saved = vbp::activation_bytes(model, 9, false) - vbp::activation_bytes(model, 9, true);
  CHECK(std::abs(saved / 4 - (kept - remaining)) <= 8 * 16);
}

TEST_CASE("what lies between two stages of a ConvNeXt learns as fast as the block behind it", "[convnext]") {
  const auto model = vbp::make_convnext<float>(vbp_test::small_convnext());
  const std::vector<Index> layers = vbp::detail::layers_above(model);
  std::size_t next = 0;
  vbp::for_each_parameter(model, [&](const std::string& name, const auto&, Index, Index) {
    INFO(name);
    const auto is_of = [&](const char* part) { return name.starts_with(part); };
    const Index expected = is_of("stem.")                                                 ? 5
                           : is_of("stages.0.")                                           ? 4
                           : is_of("stages.1.downsample.") || is_of("stages.1.blocks.0.") ? 3
                           : is_of("stages.1.")                                           ? 2
                           : is_of("stages.2.")                                           ? 1
                                                                                          : 0;
    CHECK(layers[next++] == expected);
  });
}

TEST_CASE("a ConvNeXt learns 40 images by heart, by a teacher too, and goes on where it was", "[convnext]") {
  const ConvNextConfig config = vbp_test::small_convnext();
  vbp::TrainingBatch data{vbp_test::gaussian<float>(21, 40, config.image_elements()), {}};
  for (Index i = 0; i < 40; ++i) data.labels.push_back((i * 7 + i / 5) % config.classes);
  const vbp::TrainingOptions options{.epochs = 200, .batch = 40, .learning_rate = 1e-2, .warmup_epochs = 10};
  const auto run = [&](auto& trainer, std::int64_t epochs) {
    vbp::TrainingStep step;
    while (trainer.progress().epoch < epochs) {
      REQUIRE(trainer.step([&](vbp::TrainingBatch& batch) { return batch = data, true; }, step));
      trainer.end_epoch();
    }
    return step;
  };
  const auto start = vbp::initialise_convnext<float>(config, 1);
  vbp::Trainer trainer(start, nullptr, options, 40);
  const vbp::TrainingStep last = run(trainer, 200);
  CHECK(last.loss < 1e-2);
  CHECK(last.correct == 40);

  auto distils = options;
  distils.loss = {.cross_entropy = 0.5, .distillation = 0.5};
  distils.average = 0.9;
  vbp::Trainer unbroken(start, &trainer.model(), distils, 40);
  run(unbroken, 6);
  const vbp_test::TemporaryFolder folder;
  vbp::Trainer first(start, &trainer.model(), distils, 40);
  run(first, 3);
  first.save(folder / "state", {});
  vbp::Trainer second(start, &trainer.model(), distils, 40);
  second.restore(folder / "state");
  run(second, 6);
  CHECK(vbp_test::same_bits(second.model(), unbroken.model()));
}
