#include "vbp/models/swin/model.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/swin.hpp"

using vbp::Index;
using vbp::SwinConfig;
using vbp::SwinTransformer;
using vbp_test::draw_swin;
using vbp_test::small_swin;

static_assert(vbp::LinearGeluLinear<vbp::SwinBlock<float>>);
static_assert(vbp::LinearGeluLinear<vbp::SwinBlock<double>>);

TEST_CASE("a Swin Transformer's parameters have timm's names and shapes", "[swin][model]") {
  const vbp::io::SafetensorsFile file(vbp_test::kSwinGolden / "plain.safetensors");
  std::vector<std::string> left = file.names();
  const SwinTransformer<float> model = vbp_test::golden_swin("plain");
  vbp::for_each_parameter(model, [&](const std::string& name, const auto&, Index rows, Index cols) {
    INFO(name);
    REQUIRE(std::erase(left, name) == 1);
    const std::vector<Index>& shape = file.tensor(name).shape;
    Index size = 1;
    for (const Index side : shape) size *= side;
    CHECK(shape.front() == rows);
    CHECK(size == rows * cols);
  });
  CHECK(left.empty());
}

TEST_CASE("a Swin Transformer's configuration names its blocks, maps and windows", "[swin][model]") {
  const SwinConfig config = small_swin();
  CHECK(vbp::block_names(config) == std::vector<std::string>{"layers.0.blocks.0", "layers.0.blocks.1",
                                                             "layers.1.blocks.0", "layers.1.blocks.1",
                                                             "layers.2.blocks.0"});
  const std::vector<Index> stages{0, 0, 1, 1, 2}, sides{7, 4, 2}, windows{3, 2, 2}, shifts{0, 1, 0, 1, 0};
  for (Index block = 0; block < 5; ++block) {
    CHECK(config.stage_of(block) == stages[static_cast<std::size_t>(block)]);
    CHECK(config.shift(block) == shifts[static_cast<std::size_t>(block)]);
  }
  for (Index stage = 0; stage < 3; ++stage) {
    CHECK(config.side(stage) == sides[static_cast<std::size_t>(stage)]);
    CHECK(config.window(stage) == windows[static_cast<std::size_t>(stage)]);
  }
  CHECK(config.bias_rows(2) == 25);
  // A map of exactly one window has nothing to shift.
  SwinConfig one = config;
  one.windows = {7, 5, 2};
  for (Index block = 0; block < 5; ++block) CHECK(one.shift(block) == 0);
}

TEST_CASE("impossible Swin Transformers are refused by name", "[swin][model]") {
  const auto refused = [](auto&& change, const std::string& part) {
    SwinConfig config = small_swin();
    change(config);
    CHECK_THROWS_WITH(config.validate(), Catch::Matchers::Contains(part));
  };
  refused([](SwinConfig& c) { c.image_size = 0; }, "image_size must be positive");
  refused([](SwinConfig& c) { c.image_size = 3; }, "too small");
  refused([](SwinConfig& c) { c.patch_size = -4; }, "patch_size");
  refused([](SwinConfig& c) { c.channels = 0; }, "channels");
  refused([](SwinConfig& c) { c.dims.clear(); }, "number of stages");
  refused([](SwinConfig& c) { c.dims[1] = 0; }, "a stage's width");
  refused([](SwinConfig& c) { c.depths.push_back(1); }, "depths of 4 stages");
  refused([](SwinConfig& c) { c.depths[0] = 0; }, "a stage's depth");
  refused([](SwinConfig& c) { c.heads.pop_back(); }, "heads of 2 stages");
  refused([](SwinConfig& c) { c.heads[0] = 4; }, "a width of 6 is no multiple of 4 heads");
  refused([](SwinConfig& c) { c.windows.clear(); }, "windows of 0 stages");
  refused([](SwinConfig& c) { c.windows[2] = 0; }, "a stage's window");
  refused([](SwinConfig& c) { c.hidden_widths[3] = 0; }, "a hidden width");
  refused([](SwinConfig& c) { c.hidden_widths.pop_back(); }, "hidden widths of 4 blocks");
  refused([](SwinConfig& c) { c.classes = -1; }, "classes");
  refused([](SwinConfig& c) { c.epsilon = 0.0; }, "layer_norm_eps");
  refused([](SwinConfig& c) { c.embedding_epsilon = 1.0; }, "embed_norm_eps");
}

TEST_CASE("a Swin Transformer's weights that contradict the configuration are refused by name",
          "[swin][model]") {
  SwinTransformer<float> model = draw_swin<float>(small_swin(), 1);
  CHECK_NOTHROW(model.validate());
  model.blocks[2].position_bias.resize(25, 1);
  CHECK_THROWS_WITH(model.validate(), Catch::Matchers::Contains(
                                          "layers.1.blocks.0.attn.relative_position_bias_table is 25 x 1"));
  model = draw_swin<float>(small_swin(), 1);
  model.transitions[1].reduction.weight(3, 2) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(model.validate(),
                    Catch::Matchers::Contains("layers.2.downsample.reduction.weight holds NaN"));
  model = draw_swin<float>(small_swin(), 1);
  model.transitions.pop_back();
  CHECK_THROWS_AS(model.validate(), vbp::ShapeError);
}

TEST_CASE("a Swin Transformer follows its blocks' widths", "[swin][model]") {
  SwinTransformer<float> model = draw_swin<float>(small_swin(), 1);
  vbp::SwinBlock<float>& block = model.blocks[1];
  block.set_weights(block.fc1.weight.topRows(7), block.fc1.bias.head(7), block.fc2.weight.leftCols(7),
                    block.fc2.bias);
  // The configuration still has the widths of the model that it was made for.
  CHECK(model.config.hidden_widths != std::vector<Index>{24, 7, 40, 33, 64});
  CHECK(vbp::config_of(model).hidden_widths == std::vector<Index>{24, 7, 40, 33, 64});
  CHECK_NOTHROW(model.validate());
  CHECK(vbp::config_of(vbp::cast<double>(model)).hidden_widths == std::vector<Index>{24, 7, 40, 33, 64});
  block.fc1.bias.conservativeResize(3);
  CHECK_THROWS_AS(model.validate(), vbp::ShapeError);
}
