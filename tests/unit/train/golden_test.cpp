/// Gradients and optimiser steps against PyTorch's; tests/golden/make_gradients.py made the files.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "support/backpropagation.hpp"
#include "support/catch.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/train/adamw.hpp"
#include "vbp/train/loss.hpp"
#include "vbp/train/schedule.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using vbp::Vector;
using vbp::VisionTransformer;

const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden";

Matrix<float> inputs_of(const vbp::io::SafetensorsFile& file, const vbp::VitConfig& config) {
  const Vector<float> values = file.read_vector<float>("inputs");
  return Eigen::Map<const Matrix<float>>(values.data(), values.size() / config.image_elements(),
                                         config.image_elements());
}

}  // namespace

TEST_CASE("the gradient of every parameter is PyTorch's") {
  for (const std::string name :
       {"plain", "average_pool", "average_pool_norm_first", "no_class_token", "layer_scale", "gelu_tanh",
        "distilled", "registers", "no_qkv_bias", "widths"}) {
    INFO(name);
    const VisionTransformer<float> model =
        vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / "vit" / (name + ".safetensors")).model;
    const vbp::io::SafetensorsFile golden(kGolden / "train" / (name + ".gradients.safetensors"));
    vbp_test::check_golden_gradients(model, inputs_of(golden, model.config), golden);
  }
}

TEST_CASE("ten steps of AdamW end where PyTorch's do") {
  VisionTransformer<float> model =
      vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / "vit" / "layer_scale.safetensors").model;
  const VisionTransformer<float> teacher =
      vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / "vit" / "plain.safetensors").model;
  const vbp::io::SafetensorsFile golden(kGolden / "train" / "steps.safetensors");
  const auto setting = [&](const char* key) { return std::stod(golden.metadata().at(key)); };
  const vbp::LossOptions options{.cross_entropy = setting("alpha"),
                                 .distillation = setting("beta"),
                                 .temperature = setting("temperature")};
  const vbp::CosineSchedule schedule{.peak = setting("learning_rate"),
                                     .minimum = setting("minimum_learning_rate"),
                                     .warmup_steps = static_cast<std::int64_t>(setting("warmup_steps")),
                                     .total_steps = 10};
  const Matrix<float> images = inputs_of(golden, model.config);
  const Matrix<float> teacher_logits = vbp::VitInference<float>(teacher, vbp::Context(1))(images);
  Matrix<float> targets, d_logits, logits(images.rows(), model.config.classes);
  vbp::set_targets(vbp_test::labels_of(golden), model.config.classes, setting("smoothing"), targets);
  auto gradient = vbp::make_model<vbp::VisionTransformer<float>>(model.config);
  vbp::Backpropagation network(model, {}, vbp::Context(2));
  vbp::AdamW optimiser(model, gradient,
                       {.weight_decay = setting("weight_decay"), .clip_norm = setting("clip_norm")});
  const Vector<float> losses = golden.read_vector<float>("losses", 10);
  const Vector<float> norms = golden.read_vector<float>("norms", 10);
  for (Index step = 0; step < 10; ++step) {
    INFO("step " << step);
    network.forward(images, logits);
    const double loss = vbp::loss_and_gradient<float>(logits, targets, teacher_logits, options, d_logits);
    network.backward(d_logits, gradient);
    const double norm = optimiser.gradient_norm(network.pool());
    CHECK(loss == Approx(losses[step]).epsilon(1e-4));
    CHECK(norm == Approx(norms[step]).epsilon(1e-4));
    optimiser.step(schedule.at(step), norm, network.pool());
  }
  vbp::for_each_parameter(model, [&](const std::string& parameter, auto& values, Index, Index) {
    vbp_test::check_close(parameter, values.data(), values.size(),
                          golden.read_vector<float>("weights." + parameter), INFINITY);
  });
}
