/// AdamW's parameters, the schedule, the first weights, and mixup.

#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/core/error.hpp"
#include "vbp/models/vit/initialise.hpp"
#include "vbp/train/adamw.hpp"
#include "vbp/train/mixup.hpp"
#include "vbp/train/schedule.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;

vbp::VitConfig full_config() {
  auto config = vbp_test::tiny_config();
  config.register_tokens = 2;
  config.distillation_token = true;
  config.layer_scale = true;
  return config;
}

/// How far one step with a zero gradient scales each parameter, all of which begin at one.
std::map<std::string, double> shrinkage(const vbp::AdamWOptions& options) {
  const auto config = full_config();
  auto model = vbp::make_model<vbp::VisionTransformer<double>>(config);
  vbp::for_each_parameter(model, [](const std::string&, auto& values, Index, Index) { values.setOnes(); });
  const auto gradient = vbp::make_model<vbp::VisionTransformer<double>>(config);
  vbp::ThreadPool pool(2);
  vbp::AdamW optimiser(model, gradient, options);
  optimiser.step(0.5, 0.0, pool);
  std::map<std::string, double> result;
  vbp::for_each_parameter(model, [&](const std::string& name, auto& values, Index, Index) {
    CHECK(values.minCoeff() == values.maxCoeff());
    result[name] = values.data()[0];
  });
  return result;
}

}  // namespace

TEST_CASE("weight decay is of the matrices of linear layers alone") {
  const std::set<std::string> decayed{"patch_embed.proj.weight",   "head.weight",
                                      "head_dist.weight",          "blocks.0.attn.qkv.weight",
                                      "blocks.0.attn.proj.weight", "blocks.0.mlp.fc1.weight",
                                      "blocks.0.mlp.fc2.weight",   "blocks.1.attn.qkv.weight",
                                      "blocks.1.attn.proj.weight", "blocks.1.mlp.fc1.weight",
                                      "blocks.1.mlp.fc2.weight"};
  for (const auto& [name, factor] : shrinkage({.weight_decay = 0.25})) {
    INFO(name);
    CHECK(factor == (decayed.contains(name) ? 0.875 : 1.0));
  }
}

TEST_CASE("layer-wise decay slows the layers far from the head") {
  const auto factors = shrinkage({.weight_decay = 0.25, .layer_decay = 0.5});
  CHECK(factors.at("head.weight") == Approx(1.0 - 0.125));
  CHECK(factors.at("head_dist.weight") == Approx(1.0 - 0.125));
  CHECK(factors.at("blocks.1.mlp.fc1.weight") == Approx(1.0 - 0.125 / 2));
  CHECK(factors.at("blocks.0.mlp.fc1.weight") == Approx(1.0 - 0.125 / 4));
  CHECK(factors.at("patch_embed.proj.weight") == Approx(1.0 - 0.125 / 8));
  // The norm has no weight decay, whose step would show its rate.
  const auto model = vbp::make_model<vbp::VisionTransformer<double>>(full_config());
  const std::vector<Index> layers = vbp::detail::layers_above(model);
  std::size_t next = 0;
  vbp::for_each_parameter(model, [&](const std::string& name, const auto&, Index, Index) {
    INFO(name);
    const bool output = name.starts_with("norm.") || name.starts_with("head");
    const Index expected = output                          ? 0
                           : name.starts_with("blocks.1.") ? 1
                           : name.starts_with("blocks.0.") ? 2
                                                           : 3;
    CHECK(layers[next++] == expected);
  });
}

TEST_CASE("the norm is over all parameters, and clipping shortens the step's gradient") {
  const auto config = full_config();
  auto gradient = vbp_test::draw_vit<double>(config, 1);
  double sum = 0.0;
  vbp::for_each_parameter(
      gradient, [&](const std::string&, auto& values, Index, Index) { sum += values.squaredNorm(); });
  vbp::ThreadPool pool(2);
  const auto first_mean = [&](double clip) {
    auto model = vbp::make_model<vbp::VisionTransformer<double>>(config);
    vbp::AdamW optimiser(model, gradient, {.beta1 = 0.0, .clip_norm = clip});
    const double norm = optimiser.gradient_norm(pool);
    CHECK(norm == Approx(std::sqrt(sum)).epsilon(1e-12));
    optimiser.step(1e-3, norm, pool);
    return optimiser.first().head.bias[0];
  };
  const double full = gradient.head.bias[0];
  CHECK(first_mean(0.0) == full);
  CHECK(first_mean(1e6) == full);
  CHECK(first_mean(0.5) == Approx(full * 0.5 / std::sqrt(sum)).epsilon(1e-5));
}

TEST_CASE("options of the optimiser out of range are refused") {
  for (const vbp::AdamWOptions& bad :
       {vbp::AdamWOptions{.beta1 = 1.0}, vbp::AdamWOptions{.beta2 = -0.1}, vbp::AdamWOptions{.epsilon = 0.0},
        vbp::AdamWOptions{.weight_decay = -1.0}, vbp::AdamWOptions{.layer_decay = 0.0},
        vbp::AdamWOptions{.layer_decay = 1.5}, vbp::AdamWOptions{.clip_norm = NAN}}) {
    CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
  }
}

TEST_CASE("the schedule warms up, then follows half a cosine") {
  const vbp::CosineSchedule schedule{.peak = 1.0, .minimum = 0.2, .warmup_steps = 4, .total_steps = 14};
  CHECK(schedule.at(0) == 0.25);
  CHECK(schedule.at(3) == 1.0);
  CHECK(schedule.at(4) == 1.0);
  CHECK(schedule.at(9) == Approx(0.6));
  CHECK(schedule.at(14) == 0.2);
  CHECK(schedule.at(1000) == 0.2);
  for (std::int64_t step = 5; step < 14; ++step) CHECK(schedule.at(step) < schedule.at(step - 1));
  // A warm-up as long as the run must not divide by zero.
  const vbp::CosineSchedule only_warm{.peak = 1.0, .warmup_steps = 3, .total_steps = 3};
  CHECK(only_warm.at(2) == 1.0);
  CHECK(only_warm.at(3) == 0.0);
  for (const vbp::CosineSchedule& bad :
       {vbp::CosineSchedule{.peak = 0.0}, vbp::CosineSchedule{.peak = NAN},
        vbp::CosineSchedule{.peak = 1.0, .minimum = 2.0},
        vbp::CosineSchedule{.warmup_steps = 2, .total_steps = 1}, vbp::CosineSchedule{.total_steps = 0}}) {
    CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
  }
}

TEST_CASE("the first weights are seeded, of the right spread, and the heads are silent") {
  auto config = full_config();
  config.dim = 64;
  const auto model = vbp::initialise_model<vbp::VisionTransformer<float>>(config, 3, 0.1);
  CHECK_NOTHROW(model.validate());
  CHECK(vbp::initialise_model<vbp::VisionTransformer<float>>(config, 3).blocks[1].fc1.weight ==
        model.blocks[1].fc1.weight);
  CHECK(vbp::initialise_model<vbp::VisionTransformer<float>>(config, 4).blocks[1].fc1.weight !=
        model.blocks[1].fc1.weight);
  CHECK(model.blocks[0].qkv.weight != model.blocks[1].qkv.weight);
  // Uniform within sqrt(6 / (64 + 192)): the variance is a third of the bound's square.
  const Matrix<float>& qkv = model.blocks[0].qkv.weight;
  CHECK(qkv.cwiseAbs().maxCoeff() <= std::sqrt(6.0F / 256.0F));
  CHECK(qkv.squaredNorm() / static_cast<float>(qkv.size()) == Approx(2.0 / 256.0).epsilon(0.05));
  CHECK(model.positions.squaredNorm() / static_cast<float>(model.positions.size()) ==
        Approx(4e-4).epsilon(0.2));
  CHECK(model.blocks[0].norm1.weight.minCoeff() == 1.0F);
  CHECK(model.blocks[0].norm1.bias.norm() == 0.0F);
  CHECK(model.norm.weight.maxCoeff() == 1.0F);
  CHECK(model.blocks[1].layer_scale2.maxCoeff() == 0.1F);
  CHECK(model.blocks[0].fc1.bias.norm() == 0.0F);
  CHECK(model.head.weight.norm() == 0.0F);
  CHECK(model.head_distillation.weight.norm() == 0.0F);
  CHECK(model.class_token.norm() == 0.0F);
  CHECK(model.patch_embed.weight.norm() > 0.0F);
  CHECK(model.register_tokens.norm() > 0.0F);
}

TEST_CASE("mixup draws from a Beta distribution and mixes pairs") {
  // The larger part: 3 / 4 on average for alpha = 1, 1 / 2 + 1 / pi for alpha = 1 / 2 (the arcsine law). The
  // deviation of a mean of 20,000 is below 0.0012.
  for (const auto& [alpha, expected] : {std::pair{1.0, 0.75}, std::pair{0.5, 0.5 + 1.0 / std::numbers::pi}}) {
    vbp::Random random(5);
    double sum = 0.0;
    for (int i = 0; i < 20000; ++i) {
      const double part = vbp::draw_mixture(alpha, random);
      REQUIRE(part >= 0.5);
      REQUIRE(part <= 1.0);
      sum += part;
    }
    CHECK(sum / 20000 == Approx(expected).margin(0.005));
  }
  vbp::Random random(6);
  CHECK(vbp::draw_mixture(0.01, random) >= 0.5);  // where the powers underflow
  CHECK_THROWS_AS(vbp::draw_mixture(0.0, random), vbp::ValueError);
  CHECK_THROWS_AS(vbp::draw_mixture(1.5, random), vbp::ValueError);

  Matrix<double> rows(3, 2);
  rows << 0, 4, 8, 8, 4, 0;
  vbp::mix_rows(rows, 0.75);
  Matrix<double> expected(3, 2);
  expected << 1, 3, 8, 8, 3, 1;
  CHECK(rows == expected);
}
