#include "vbp/models/convnext/model.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/convnext.hpp"

using vbp::ConvNext;
using vbp::ConvNextConfig;
using vbp::Index;
using vbp_test::draw_convnext;
using vbp_test::small_convnext;

static_assert(vbp::LinearGeluLinear<vbp::ConvNextBlock<float>>);
static_assert(vbp::LinearGeluLinear<vbp::ConvNextBlock<double>>);

TEST_CASE("a ConvNeXt's parameters have timm's names and shapes", "[convnext][model]") {
  const vbp::io::SafetensorsFile file(vbp_test::kConvNextGolden / "plain.safetensors");
  std::vector<std::string> left = file.names();
  const ConvNext<float> model = vbp_test::golden_convnext("plain");
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

TEST_CASE("a ConvNeXt configuration names its blocks and maps", "[convnext][model]") {
  const ConvNextConfig config = small_convnext();
  CHECK(vbp::block_names(config) == std::vector<std::string>{"stages.0.blocks.0", "stages.1.blocks.0",
                                                             "stages.1.blocks.1", "stages.2.blocks.0"});
  const std::vector<Index> stages{0, 1, 1, 2};
  for (Index block = 0; block < 4; ++block)
    CHECK(config.stage_of(block) == stages[static_cast<std::size_t>(block)]);
  CHECK(config.side(0) == 6);
  CHECK(config.side(2) == 1);
}

TEST_CASE("impossible ConvNeXt configurations are refused by name", "[convnext][model]") {
  const auto refused = [](auto&& change, const std::string& part) {
    ConvNextConfig config = small_convnext();
    change(config);
    CHECK_THROWS_WITH(config.validate(), Catch::Matchers::Contains(part));
  };
  refused([](ConvNextConfig& c) { c.image_size = 0; }, "image_size must be positive");
  refused([](ConvNextConfig& c) { c.image_size = 15; }, "too small");
  refused([](ConvNextConfig& c) { c.patch_size = -4; }, "patch_size");
  refused([](ConvNextConfig& c) { c.channels = 0; }, "channels");
  refused([](ConvNextConfig& c) { c.dims.clear(); }, "number of stages");
  refused([](ConvNextConfig& c) { c.dims[1] = 0; }, "a stage's width");
  refused([](ConvNextConfig& c) { c.depths.push_back(1); }, "depths of 4 stages");
  refused([](ConvNextConfig& c) { c.depths[0] = 0; }, "a stage's depth");
  refused([](ConvNextConfig& c) { c.hidden_widths[3] = 0; }, "a hidden width");
  refused([](ConvNextConfig& c) { c.hidden_widths.pop_back(); }, "hidden widths of 3 blocks");
  refused([](ConvNextConfig& c) { c.classes = -1; }, "classes");
  refused([](ConvNextConfig& c) { c.epsilon = 0.0; }, "layer_norm_eps");
  refused([](ConvNextConfig& c) { c.head_epsilon = 1.0; }, "head_norm_eps");
}

TEST_CASE("ConvNeXt weights that contradict the configuration are refused by name", "[convnext][model]") {
  ConvNext<float> model = draw_convnext<float>(small_convnext(), 1);
  CHECK_NOTHROW(model.validate());
  model.blocks[2].depthwise.weight.resize(10, 25);
  CHECK_THROWS_WITH(model.validate(),
                    Catch::Matchers::Contains("stages.1.blocks.1.conv_dw.weight is 10 x 25"));
  model = draw_convnext<float>(small_convnext(), 1);
  model.transitions[1].reduction.bias(3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(model.validate(), Catch::Matchers::Contains("stages.2.downsample.1.bias holds NaN"));
  model = draw_convnext<float>(small_convnext(), 1);
  model.transitions.pop_back();
  CHECK_THROWS_AS(model.validate(), vbp::ShapeError);
}

TEST_CASE("a ConvNeXt follows its blocks' widths", "[convnext][model]") {
  ConvNext<float> model = draw_convnext<float>(small_convnext(), 1);
  vbp::ConvNextBlock<float>& block = model.blocks[1];
  block.set_weights(block.fc1.weight.topRows(7), block.fc1.bias.head(7), block.fc2.weight.leftCols(7),
                    block.fc2.bias);
  // The configuration still has the widths of the model that it was made for.
  CHECK(model.config.hidden_widths != std::vector<Index>{24, 7, 33, 64});
  CHECK(vbp::config_of(model).hidden_widths == std::vector<Index>{24, 7, 33, 64});
  CHECK_NOTHROW(model.validate());
  CHECK(vbp::config_of(vbp::cast<double>(model)).hidden_widths == std::vector<Index>{24, 7, 33, 64});
  block.fc1.bias.conservativeResize(3);
  CHECK_THROWS_AS(model.validate(), vbp::ShapeError);
}
