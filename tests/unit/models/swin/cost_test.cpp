#include "vbp/models/swin/cost.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/swin.hpp"

namespace {

using vbp::Index;
using vbp::SwinConfig;

SwinConfig real(std::vector<Index> dims, std::vector<Index> depths, std::vector<Index> heads) {
  SwinConfig config;
  config.dims = std::move(dims);
  config.depths = std::move(depths);
  config.heads = std::move(heads);
  config.windows.assign(config.dims.size(), 7);
  config.classes = 1000;
  for (Index stage = 0; stage < config.stages(); ++stage) {
    config.hidden_widths.insert(config.hidden_widths.end(),
                                static_cast<std::size_t>(config.depths[static_cast<std::size_t>(stage)]),
                                4 * config.dim(stage));
  }
  return config;
}

SwinConfig tiny() {
  return real({96, 192, 384, 768}, {2, 2, 6, 2}, {3, 6, 12, 24});
}

/// Parameters counted one by one, off the model instead of the configuration.
std::int64_t count_parameters(const SwinConfig& config) {
  const auto model = vbp::make_model<vbp::SwinTransformer<float>>(config);
  std::int64_t count = 0;
  vbp::for_each_parameter(
      model, [&](const std::string&, const auto& parameter, Index, Index) { count += parameter.size(); });
  return count;
}

SwinConfig small() {
  return real({96, 192, 384, 768}, {2, 2, 18, 2}, {3, 6, 12, 24});
}

SwinConfig base() {
  return real({128, 256, 512, 1024}, {2, 2, 18, 2}, {4, 8, 16, 32});
}

/// Removes this share of all hidden neurons, from the blocks in this order.
vbp::Cost pruned(SwinConfig config, Index percent, bool last_stage_first) {
  Index total = 0;
  for (const Index width : config.hidden_widths) total += width;
  Index left = total * percent / 100;
  for (Index i = 0; i < config.depth(); ++i) {
    Index& width =
        config.hidden_widths[static_cast<std::size_t>(last_stage_first ? config.depth() - 1 - i : i)];
    const Index removed = std::min(left, width - 1);
    width -= removed;
    left -= removed;
  }
  REQUIRE(left == 0);
  return vbp::cost_of(config);
}

}  // namespace

TEST_CASE("the cost of Swin-T, -S and -B is what fvcore counts", "[swin][cost]") {
  std::ifstream stream(std::filesystem::path(VBP_TEST_DIR) / "golden" / "costs_swin.json");
  const auto golden = nlohmann::json::parse(stream);
  REQUIRE(golden.size() == 3);
  for (const auto& [name, expected] : golden.items()) {
    INFO(name);
    const vbp::Cost cost = vbp::cost_of(real(expected["dims"].get<std::vector<Index>>(),
                                             expected["depths"].get<std::vector<Index>>(),
                                             expected["heads"].get<std::vector<Index>>()));
    CHECK(cost.parameters() == expected["parameters"].get<std::int64_t>());
    CHECK(cost.macs() == expected["macs"].get<std::int64_t>());
    CHECK(cost.macs_fvcore() == expected["macs_fvcore"].get<std::int64_t>());
  }
  // The paper's tables: 28 M and 4.5 G, 50 M and 8.7 G, 88 M and 15.4 G (Liu et al. 2021).
  CHECK(vbp::cost_of(tiny()).parameters() == 28'288'354);
  CHECK(static_cast<double>(vbp::cost_of(base()).macs_fvcore()) / 1e9 == Approx(15.4).margin(0.1));
}

TEST_CASE("what was published of pruned Swin Transformers lies where their rates allow", "[swin][cost]") {
  // Published are shares, not which neurons went. A neuron of a later stage takes twice the parameters of one
  // of the stage before with it and, its map having a quarter of the pixels, half of the MACs: all from
  // behind and all from the front are the extremes.
  struct Published {
    SwinConfig config;
    Index percent;
    double macs, parameters;  ///< less, in per cent
  };
  for (const Published& model : {Published{tiny(), 45, 28.22, 24.67}, Published{small(), 50, 32.19, 29.41},
                                 Published{base(), 55, 33.89, 35.87}}) {
    INFO(model.percent);
    const vbp::Cost dense = vbp::cost_of(model.config);
    const auto less = [&](bool last_stage_first, auto part) {
      const vbp::Cost cost = pruned(model.config, model.percent, last_stage_first);
      return 100.0 * (1.0 - static_cast<double>((cost.*part)()) / static_cast<double>((dense.*part)()));
    };
    CHECK(less(true, &vbp::Cost::parameters) > model.parameters);
    CHECK(less(false, &vbp::Cost::parameters) < model.parameters);
    CHECK(less(true, &vbp::Cost::macs_fvcore) < model.macs);
    CHECK(less(false, &vbp::Cost::macs_fvcore) > model.macs);
  }
}

TEST_CASE("a hidden neuron of each stage of Swin takes its share with it", "[swin][cost]") {
  const SwinConfig config = tiny();
  const vbp::Cost dense = vbp::cost_of(config);
  for (Index stage = 0; stage < 4; ++stage) {
    SwinConfig less = config;
    less.hidden_widths[static_cast<std::size_t>(config.first_block(stage))] -= 10;
    const Index dim = Index{96} << stage;
    const Index side = Index{56} >> stage;
    CHECK(dense.parameters() - vbp::cost_of(less).parameters() == 10 * (2 * dim + 1));
    CHECK(dense.macs() - vbp::cost_of(less).macs() == 10 * 2 * dim * side * side);
  }
}

TEST_CASE("attention costs the products of whole windows, linear layers those of pixels", "[swin][cost]") {
  const SwinConfig config = vbp_test::small_swin();  // 9 windows of 9 on a map of 49 pixels
  for (const vbp::LayerCost& layer : vbp::cost_of(config).layers) {
    if (layer.name == "layers.0.blocks.1.attn") CHECK(layer.macs == 9 * 2 * 81 * 6);
    if (layer.name == "layers.0.blocks.1.attn.qkv") CHECK(layer.macs == 49 * 6 * 18);
    if (layer.name == "layers.2.blocks.0.attn") CHECK(layer.macs == 2 * 16 * 16);
  }
}

TEST_CASE("the cost knows every parameter of every kind of Swin", "[swin][cost]") {
  const auto agrees = [](const SwinConfig& config) {
    return vbp::cost_of(config).parameters() == count_parameters(config);
  };
  SwinConfig config = vbp_test::small_swin();
  CHECK(agrees(config));
  config.classes = 0;
  CHECK(agrees(config));
  config.qkv_bias = false;
  config.channels = 1;
  CHECK(agrees(config));
}
