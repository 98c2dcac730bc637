#include "vbp/models/vit/cost.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"

namespace {

using vbp::Index;
using vbp::VitConfig;

VitConfig deit(Index dim) {
  return {.architecture = "",
          .dim = dim,
          .heads = dim / 64,
          .hidden_widths = std::vector<Index>(12, 4 * dim),
          .classes = 1000};
}

/// Removes `rate` of all hidden neurons, unevenly, so that a formula for equal widths would fail.
VitConfig pruned(VitConfig config, double rate) {
  Index total = 0;
  for (const Index width : config.hidden_widths) total += width;
  const auto removed = static_cast<Index>(rate * static_cast<double>(total));
  for (Index i = 0; i < removed; ++i) --config.hidden_widths[static_cast<std::size_t>(i % 11)];
  return config;
}

double giga(std::int64_t count) {
  return static_cast<double>(count) / 1e9;
}

/// Parameters counted one by one, off the model instead of the configuration.
std::int64_t count_parameters(const VitConfig& config) {
  const auto model = vbp::make_model<vbp::VisionTransformer<float>>(config);
  std::int64_t count = 0;
  vbp::for_each_parameter(
      model, [&](const std::string&, const auto& parameter, Index, Index) { count += parameter.size(); });
  return count;
}

}  // namespace

TEST_CASE("the cost of DeiT is the published one", "[vit][cost]") {
  CHECK(vbp::cost_of(deit(192)).macs() == 1'253'683'200);
  CHECK(vbp::cost_of(deit(384)).macs() == 4'598'882'304);
  CHECK(vbp::cost_of(deit(768)).macs() == 17'563'828'224);
  CHECK(vbp::cost_of(deit(192)).parameters() == 5'717'416);
  CHECK(vbp::cost_of(deit(384)).parameters() == 22'050'664);
  CHECK(vbp::cost_of(deit(768)).parameters() == 86'567'656);
  CHECK(giga(vbp::cost_of(deit(192)).macs_fvcore()) == Approx(1.26).margin(0.005));
  CHECK(giga(vbp::cost_of(deit(384)).macs_fvcore()) == Approx(4.61).margin(0.005));
  CHECK(giga(vbp::cost_of(deit(768)).macs_fvcore()) == Approx(17.58).margin(0.005));
}

TEST_CASE("the cost of pruned DeiT is the published one", "[vit][cost]") {
  const vbp::Cost base = vbp::cost_of(pruned(deit(768), 0.55));
  CHECK(static_cast<double>(base.parameters()) / 1e6 == Approx(55.40).margin(0.005));
  CHECK(giga(base.macs_fvcore()) == Approx(11.44).margin(0.01));
  CHECK(static_cast<double>(vbp::cost_of(pruned(deit(192), 0.45)).parameters()) / 1e6 ==
        Approx(4.12).margin(0.005));
  CHECK(giga(vbp::cost_of(pruned(deit(192), 0.5)).macs_fvcore()) == Approx(0.91).margin(0.005));
}

TEST_CASE("the cost of every layer is what timm and fvcore count", "[vit][cost]") {
  const auto path = std::filesystem::path(VBP_TEST_DIR) / "golden" / "costs.json";
  std::ifstream stream(path);
  const auto golden = nlohmann::json::parse(stream);
  REQUIRE(golden.size() >= 6);
  for (const auto& [name, expected] : golden.items()) {
    INFO(name);
    VitConfig config = deit(expected["dim"].get<Index>());
    config.distillation_token = expected["distilled"].get<bool>();
    REQUIRE(config.prefix_tokens() == expected["prefix_tokens"].get<Index>());
    const vbp::Cost cost = vbp::cost_of(config);
    CHECK(cost.parameters() == expected["parameters"].get<std::int64_t>());
    CHECK(cost.macs() == expected["macs"].get<std::int64_t>());
    CHECK(cost.macs_fvcore() == expected["macs_fvcore"].get<std::int64_t>());
    std::int64_t norm_elements = 0;
    nlohmann::json by_layer = nlohmann::json::object();
    for (const vbp::LayerCost& layer : cost.layers) {
      norm_elements += layer.norm_elements;
      std::string group = layer.name;
      if (layer.name == "patch_embed.proj") group = "patch_embed";
      if (layer.name.ends_with(".attn")) group = "attention_products";
      if (layer.name.ends_with(".attn.qkv")) group = "qkv";
      if (layer.name.ends_with(".attn.proj")) group = "attention_output";
      if (layer.name.find(".mlp.") != std::string::npos) group = "mlp";
      if (layer.name == "head_dist") group = "head";
      if (layer.macs > 0) by_layer[group] = by_layer.value(group, std::int64_t{0}) + layer.macs;
    }
    CHECK(norm_elements == expected["layer_norm_elements"].get<std::int64_t>());
    CHECK(by_layer == expected["macs_by_layer"]);
  }
}

TEST_CASE("the cost knows every parameter of every kind of model", "[vit][cost]") {
  const VitConfig plain{
      .architecture = "", .image_size = 12, .patch_size = 4, .dim = 8, .heads = 2, .hidden_widths = {5, 9}};
  const auto agrees = [](VitConfig config) {
    return vbp::cost_of(config).parameters() == count_parameters(config);
  };
  CHECK(agrees(plain));
  VitConfig config = plain;
  config.classes = 3;
  CHECK(agrees(config));
  config.distillation_token = true;
  CHECK(agrees(config));
  config = plain;
  config.classes = 3;
  config.register_tokens = 4;
  config.layer_scale = true;
  config.qkv_bias = false;
  config.channels = 1;
  CHECK(agrees(config));
  config.position_covers_prefix = false;
  config.pooling = vbp::Pooling::class_token_and_average;
  CHECK(agrees(config));
  config.class_token = false;
  config.register_tokens = 0;
  config.pooling = vbp::Pooling::average;
  config.norm = false;
  config.fc_norm = true;
  CHECK(agrees(config));
}

TEST_CASE("a model whose heads nothing tells has a cost", "[vit][cost]") {
  VitConfig config = deit(192);
  config.heads = 0;
  config.epsilon = 0.0;
  CHECK(vbp::cost_of(config).macs() == 1'253'683'200);
}
