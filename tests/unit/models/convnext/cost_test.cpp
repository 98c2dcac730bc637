#include "vbp/models/convnext/cost.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/convnext.hpp"

namespace {

using vbp::ConvNextConfig;
using vbp::Index;

ConvNextConfig real(std::vector<Index> dims, std::vector<Index> depths) {
  ConvNextConfig config;
  config.dims = std::move(dims);
  config.depths = std::move(depths);
  config.classes = 1000;
  for (Index stage = 0; stage < config.stages(); ++stage) {
    config.hidden_widths.insert(config.hidden_widths.end(),
                                static_cast<std::size_t>(config.depths[static_cast<std::size_t>(stage)]),
                                4 * config.dim(stage));
  }
  return config;
}

ConvNextConfig tiny() {
  return real({96, 192, 384, 768}, {3, 3, 9, 3});
}

/// Parameters counted one by one, off the model instead of the configuration.
std::int64_t count_parameters(const ConvNextConfig& config) {
  const auto model = vbp::make_model<vbp::ConvNext<float>>(config);
  std::int64_t count = 0;
  vbp::for_each_parameter(
      model, [&](const std::string&, const auto& parameter, Index, Index) { count += parameter.size(); });
  return count;
}

/// Removes half of all hidden neurons, from the blocks in this order.
vbp::Cost halved(ConvNextConfig config, bool last_stage_first) {
  Index total = 0;
  for (const Index width : config.hidden_widths) total += width;
  Index left = total / 2;
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

TEST_CASE("the cost of ConvNeXt-T, -S and -B is what fvcore counts", "[convnext][cost]") {
  std::ifstream stream(std::filesystem::path(VBP_TEST_DIR) / "golden" / "costs_convnext.json");
  const auto golden = nlohmann::json::parse(stream);
  REQUIRE(golden.size() == 3);
  for (const auto& [name, expected] : golden.items()) {
    INFO(name);
    const vbp::Cost cost = vbp::cost_of(
        real(expected["dims"].get<std::vector<Index>>(), expected["depths"].get<std::vector<Index>>()));
    CHECK(cost.parameters() == expected["parameters"].get<std::int64_t>());
    CHECK(cost.macs() == expected["macs"].get<std::int64_t>());
    CHECK(cost.macs_fvcore() == expected["macs_fvcore"].get<std::int64_t>());
  }
  CHECK(vbp::cost_of(tiny()).parameters() == 28'589'128);
  CHECK(static_cast<double>(vbp::cost_of(tiny()).macs_fvcore()) / 1e9 == Approx(4.470).margin(0.0005));
}

TEST_CASE("what ConvNeXt-T costs at half of its neurons depends on their stages", "[convnext][cost]") {
  // Published are 2.96 GMACs and 12.61 M parameters, not which neurons went. A neuron of a later stage takes
  // twice the parameters of one of the stage before with it and, its map having a quarter of the pixels, half
  // of the MACs: all from behind and all from the front are the extremes.
  const vbp::Cost late = halved(tiny(), true);
  const vbp::Cost early = halved(tiny(), false);
  CHECK(late.parameters() < 12'610'000);
  CHECK(early.parameters() > 12'610'000);
  CHECK(static_cast<double>(early.macs_fvcore()) < 2.96e9);
  CHECK(static_cast<double>(late.macs_fvcore()) > 2.96e9);
}

TEST_CASE("a hidden neuron of each stage of ConvNeXt takes its share with it", "[convnext][cost]") {
  const ConvNextConfig config = tiny();
  const vbp::Cost dense = vbp::cost_of(config);
  for (Index stage = 0; stage < 4; ++stage) {
    ConvNextConfig pruned = config;
    pruned.hidden_widths[static_cast<std::size_t>(config.first_block(stage))] -= 10;
    const Index dim = Index{96} << stage;
    const Index side = Index{56} >> stage;
    CHECK(dense.parameters() - vbp::cost_of(pruned).parameters() == 10 * (2 * dim + 1));
    CHECK(dense.macs() - vbp::cost_of(pruned).macs() == 10 * 2 * dim * side * side);
  }
}

TEST_CASE("the cost knows every parameter of every kind of ConvNeXt", "[convnext][cost]") {
  const auto agrees = [](const ConvNextConfig& config) {
    return vbp::cost_of(config).parameters() == count_parameters(config);
  };
  ConvNextConfig config = vbp_test::small_convnext();
  CHECK(agrees(config));
  config.classes = 0;
  CHECK(agrees(config));
  config.layer_scale = false;
  config.channels = 1;
  CHECK(agrees(config));
}
