#include "vbp/models/vit/model.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/plain_vit.hpp"
#include "vbp/core/concepts.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::Vector;
using vbp::VisionTransformer;
using vbp::VitConfig;

static_assert(vbp::LinearGeluLinear<vbp::VitBlock<float>>);
static_assert(vbp::LinearGeluLinear<vbp::VitBlock<double>>);

using Shape = std::pair<Index, Index>;

VitConfig small_parameters() {
  return {.architecture = "small",
          .image_size = 12,
          .patch_size = 4,
          .dim = 6,
          .heads = 2,
          .hidden_widths = {9, 5},
          .classes = 3};
}

std::map<std::string, Shape> parameters_of(const VitConfig& config) {
  std::map<std::string, Shape> result;
  const VisionTransformer<float> model = vbp::make_model<vbp::VisionTransformer<float>>(config);
  vbp::for_each_parameter(model, [&](const std::string& name, const auto& parameter, Index rows, Index cols) {
    CHECK(result.emplace(name, Shape{rows, cols}).second);
    CHECK(parameter.rows() == rows);
    CHECK(parameter.cols() == cols);
  });
  return result;
}

/// What the first list has and the second lacks.
std::set<std::string> beside(const std::map<std::string, Shape>& first,
                             const std::map<std::string, Shape>& second) {
  std::set<std::string> names;
  for (const auto& [name, shape] : first) {
    if (!second.contains(name)) names.insert(name);
  }
  return names;
}

}  // namespace

TEST_CASE("a plain model has timm's parameters", "[vit][model]") {
  const std::map<std::string, Shape> expected{{"cls_token", {6, 1}},
                                              {"pos_embed", {10, 6}},
                                              {"patch_embed.proj.weight", {6, 48}},
                                              {"patch_embed.proj.bias", {6, 1}},
                                              {"blocks.0.norm1.weight", {6, 1}},
                                              {"blocks.0.norm1.bias", {6, 1}},
                                              {"blocks.0.attn.qkv.weight", {18, 6}},
                                              {"blocks.0.attn.qkv.bias", {18, 1}},
                                              {"blocks.0.attn.proj.weight", {6, 6}},
                                              {"blocks.0.attn.proj.bias", {6, 1}},
                                              {"blocks.0.norm2.weight", {6, 1}},
                                              {"blocks.0.norm2.bias", {6, 1}},
                                              {"blocks.0.mlp.fc1.weight", {9, 6}},
                                              {"blocks.0.mlp.fc1.bias", {9, 1}},
                                              {"blocks.0.mlp.fc2.weight", {6, 9}},
                                              {"blocks.0.mlp.fc2.bias", {6, 1}},
                                              {"norm.weight", {6, 1}},
                                              {"norm.bias", {6, 1}},
                                              {"head.weight", {3, 6}},
                                              {"head.bias", {3, 1}}};
  VitConfig config = small_parameters();
  config.hidden_widths = {9};
  CHECK(parameters_of(config) == expected);
  CHECK(parameters_of(small_parameters()).at("blocks.1.mlp.fc1.weight") == Shape(5, 6));
  CHECK(parameters_of(small_parameters()).at("blocks.1.mlp.fc2.weight") == Shape(6, 5));
}

TEST_CASE("every option has its parameters", "[vit][model]") {
  const auto plain = parameters_of(small_parameters());
  const auto changed = [](auto&& change) {
    VitConfig config = small_parameters();
    change(config);
    return parameters_of(config);
  };
  using Names = std::set<std::string>;
  auto other = changed([](VitConfig& c) { c.distillation_token = true; });
  CHECK(beside(other, plain) == Names{"dist_token", "head_dist.weight", "head_dist.bias"});
  CHECK(other.at("pos_embed") == Shape(11, 6));
  other = changed([](VitConfig& c) { c.register_tokens = 4; });
  CHECK(beside(other, plain) == Names{"reg_token"});
  CHECK(other.at("reg_token") == Shape(4, 6));
  CHECK(other.at("pos_embed") == Shape(14, 6));
  other = changed([](VitConfig& c) {
    c.register_tokens = 4;
    c.position_covers_prefix = false;
  });
  CHECK(other.at("pos_embed") == Shape(9, 6));
  other = changed([](VitConfig& c) { c.layer_scale = true; });
  CHECK(beside(other, plain) ==
        Names{"blocks.0.ls1.gamma", "blocks.0.ls2.gamma", "blocks.1.ls1.gamma", "blocks.1.ls2.gamma"});
  other = changed([](VitConfig& c) { c.qkv_bias = false; });
  CHECK(beside(plain, other) == Names{"blocks.0.attn.qkv.bias", "blocks.1.attn.qkv.bias"});
  other = changed([](VitConfig& c) {
    c.class_token = false;
    c.pooling = vbp::Pooling::average;
    c.norm = false;
    c.fc_norm = true;
  });
  CHECK(beside(plain, other) == Names{"cls_token", "norm.weight", "norm.bias"});
  CHECK(beside(other, plain) == Names{"fc_norm.weight", "fc_norm.bias"});
  other = changed([](VitConfig& c) {
    c.pooling = vbp::Pooling::class_token_and_average;
    c.fc_norm = true;
  });
  CHECK(other.at("head.weight") == Shape(3, 12));
  CHECK(other.at("fc_norm.bias") == Shape(12, 1));
  other = changed([](VitConfig& c) { c.classes = 0; });
  CHECK(beside(plain, other) == Names{"head.weight", "head.bias"});
}

TEST_CASE("a new model is zero and valid, an impossible one is not made", "[vit][model]") {
  const VisionTransformer<double> model = vbp::make_model<vbp::VisionTransformer<double>>(small_parameters());
  CHECK_NOTHROW(model.validate());
  vbp::for_each_parameter(model, [](const std::string& name, const auto& parameter, Index, Index) {
    INFO(name);
    CHECK(parameter.isZero(0.0));
  });
  CHECK(model.config.architecture == "small");
  CHECK(model.blocks.size() == 2);
  VitConfig config = small_parameters();
  config.heads = 4;
  CHECK_THROWS_AS(vbp::make_model<vbp::VisionTransformer<float>>(config), vbp::ValueError);
}

TEST_CASE("a parameter of the wrong shape or value is refused by name", "[vit][model]") {
  VitConfig config = small_parameters();
  config.distillation_token = true;
  config.register_tokens = 2;
  config.layer_scale = true;
  config.fc_norm = true;
  const VisionTransformer<float> good = vbp_test::random_vit<float>(config, 1);
  CHECK_NOTHROW(good.validate());
  std::vector<std::string> names;
  vbp::for_each_parameter(good,
                          [&](const std::string& name, const auto&, Index, Index) { names.push_back(name); });
  CHECK(names.size() == 42);
  for (std::size_t which = 0; which < names.size(); ++which) {
    INFO(names[which]);
    VisionTransformer<float> bad = good;
    std::size_t place = 0;
    vbp::for_each_parameter(bad, [&](const std::string&, auto& parameter, Index rows, Index cols) {
      if (place++ == which) parameter.setZero(rows + 1, cols);
    });
    CHECK_THROWS_AS(bad.validate(), vbp::ShapeError);
    // The rows of fc1's weight are the block's width, so that its bias is what does not fit.
    std::string named = names[which];
    if (named.ends_with(".fc1.weight")) named.replace(named.size() - 6, 6, "bias");
    CHECK_THROWS_WITH(bad.validate(), Catch::StartsWith(named + " is "));
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      bad = good;
      place = 0;
      vbp::for_each_parameter(bad, [&](const std::string&, auto& parameter, Index, Index) {
        if (place++ == which) parameter.data()[parameter.size() - 1] = value;
      });
      CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
      CHECK_THROWS_WITH(bad.validate(), names[which] + " holds NaN or infinite values");
    }
  }
  VisionTransformer<float> bad = good;
  bad.blocks[1].fc2.weight.setZero(6, 4);
  CHECK_THROWS_WITH(bad.validate(), "blocks.1.mlp.fc2.weight is 6 x 4, the configuration asks for 6 x 5");
  bad = good;
  bad.blocks.pop_back();
  CHECK_THROWS_WITH(bad.validate(), "a model of 1 blocks with a configuration of 2");
  bad = good;
  bad.config.epsilon = 0.0;
  CHECK_THROWS_AS(bad.validate(), vbp::ValueError);
}

TEST_CASE("a model converts to another scalar and back", "[vit][model]") {
  VitConfig config = small_parameters();
  config.layer_scale = true;
  config.register_tokens = 1;
  const VisionTransformer<float> model = vbp_test::random_vit<float>(config, 2);
  const VisionTransformer<double> wide = vbp::cast<double>(model);
  CHECK_NOTHROW(wide.validate());
  CHECK(wide.config.architecture == "small");
  CHECK(wide.blocks[1].fc1.weight == Matrix<double>(model.blocks[1].fc1.weight.cast<double>()));
  const VisionTransformer<float> back = vbp::cast<float>(wide);
  std::vector<std::vector<float>> values;
  const auto elements = [](const auto& parameter) {
    return std::vector<float>(parameter.data(), parameter.data() + parameter.size());
  };
  vbp::for_each_parameter(model, [&](const std::string&, const auto& parameter, Index, Index) {
    values.push_back(elements(parameter));
  });
  std::size_t place = 0;
  vbp::for_each_parameter(back, [&](const std::string& name, const auto& parameter, Index, Index) {
    INFO(name);
    CHECK(elements(parameter) == values[place++]);
  });
  CHECK(place == values.size());
}

TEST_CASE("a block shows its MLP and takes a narrower one", "[vit][model]") {
  VisionTransformer<float> model = vbp_test::random_vit<float>(small_parameters(), 3);
  vbp::VitBlock<float>& block = model.blocks[0];
  const vbp::VitBlock<float> before = block;
  CHECK(&block.fc1_weight() == &block.fc1.weight);
  CHECK(&block.fc1_bias() == &block.fc1.bias);
  CHECK(&block.fc2_weight() == &block.fc2.weight);
  CHECK(&block.fc2_bias() == &block.fc2.bias);
  block.set_weights(before.fc1.weight.topRows(4), before.fc1.bias.head(4), before.fc2.weight.leftCols(4),
                    before.fc2.bias);
  CHECK(block.fc1.weight == Matrix<float>(before.fc1.weight.topRows(4)));
  CHECK(block.fc1.bias == Vector<float>(before.fc1.bias.head(4)));
  CHECK(block.fc2.weight == Matrix<float>(before.fc2.weight.leftCols(4)));
  CHECK(block.fc2.bias == before.fc2.bias);
  CHECK(block.qkv.weight == before.qkv.weight);
  // The configuration still has the widths of the model that it was made for.
  CHECK(model.config.hidden_widths != std::vector<Index>{4, 5});
  CHECK(vbp::config_of(model).hidden_widths == std::vector<Index>{4, 5});
  CHECK_NOTHROW(model.validate());
  CHECK(vbp::config_of(vbp::cast<double>(model)).hidden_widths == std::vector<Index>{4, 5});
  block.fc1.bias.conservativeResize(3);
  CHECK_THROWS_AS(model.validate(), vbp::ShapeError);
}

TEST_CASE("blocks are named as in checkpoints", "[vit][model]") {
  CHECK(VisionTransformer<float>::block_name(0) == "blocks.0");
  CHECK(VisionTransformer<double>::block_name(11) == "blocks.11");
}
