#include "vbp/models/convnext/onnx.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/convnext.hpp"
#include "support/folder.hpp"
#include "support/onnx.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using vbp::ConvNextCheckpoint;
using vbp::ConvNextConfig;
using vbp::Index;
using vbp_test::exported;
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("every kind of ConvNeXt is an ONNX graph with its parameters", "[onnx][convnext]") {
  std::vector<ConvNextConfig> configs(4, vbp_test::small_convnext());
  configs[1].layer_scale = false;
  configs[2].activation = vbp::Activation::gelu_tanh;
  configs[2].channels = 1;
  configs[3].classes = 0;
  configs[3].epsilon = 1e-3;
  for (const ConvNextConfig& config : configs) {
    const auto model = vbp_test::draw_convnext<float>(config, 1);
    const ::onnx::ModelProto proto = vbp::onnx_graph(model).proto();
    const ::onnx::GraphProto& graph = proto.graph();
    vbp_test::check_well_formed(graph);
    vbp_test::check_parameters(graph, model);
    CHECK(graph.name() == "small");
    CHECK(vbp_test::shape_of(graph.input(0)) == Names{"batch", std::to_string(config.channels), "24", "24"});
    CHECK(graph.output(0).name() == (config.classes > 0 ? "logits" : "features"));
    CHECK(vbp_test::shape_of(graph.output(0)) == Names{"batch", config.classes > 0 ? "5" : "16"});

    auto count = vbp_test::operators_of(graph);
    const bool exact = config.activation == vbp::Activation::gelu;
    CHECK(count["Conv"] == 1 + 2 + 4);
    CHECK(count["Gemm"] == 2 * 4 + (config.classes > 0 ? 1 : 0));
    CHECK(count["LayerNormalization"] == 1 + 2 + 4 + 1);
    CHECK(count["Erf"] == (exact ? 4 : 0));
    CHECK(count["Tanh"] == (exact ? 0 : 4));
    CHECK(count["Add"] == 4 + (exact ? 4 : 8));
    for (const auto& node : graph.node()) {
      INFO(node.name());
      if (node.op_type() == "LayerNormalization") {
        REQUIRE(node.attribute(1).name() == "epsilon");
        CHECK(node.attribute(1).f() ==
              static_cast<float>(node.name() == "head.norm" ? config.head_epsilon : config.epsilon));
      }
    }
  }
}

TEST_CASE("the ONNX file of a golden ConvNeXt holds timm's tensors and save_checkpoint's metadata",
          "[onnx][convnext]") {
  const vbp_test::TemporaryFolder folder;
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const std::filesystem::path path = vbp_test::kConvNextGolden / (name + ".safetensors");
    const ConvNextCheckpoint checkpoint = vbp::load_checkpoint<vbp::ConvNext<float>>(path);
    const ::onnx::ModelProto proto = exported(checkpoint);
    vbp_test::check_well_formed(proto.graph());
    vbp_test::check_tensors_of_file(proto.graph(), path);
    vbp::save_checkpoint(folder / "saved", checkpoint);
    const vbp::io::Metadata saved = vbp::io::SafetensorsFile(folder / "saved").metadata();
    CHECK(vbp_test::metadata_of(proto) == std::map<std::string, std::string>(saved.begin(), saved.end()));
    CHECK(saved.at("crop_pct") == "0.875");
  }
}

TEST_CASE("the ONNX graph of a pruned ConvNeXt has the widths that are left", "[onnx][convnext]") {
  auto model = vbp_test::draw_convnext<float>(vbp_test::small_convnext(), 2);
  const Names names = vbp::block_names(model.config);
  vbp::PruningPlan plan;
  const std::vector<std::vector<Index>> kept{{0, 5, 23}, {1, 2, 3, 39}, {32}, {0, 63}};
  for (std::size_t b = 0; b < kept.size(); ++b) {
    plan.blocks.push_back({.name = names[b], .width = model.config.hidden_widths[b], .kept = kept[b]});
  }
  vbp::shrink_blocks(plan, model.blocks);
  const ::onnx::ModelProto proto = vbp::onnx_graph(model).proto();
  vbp_test::check_parameters(proto.graph(), model);
  const auto dims = [&](const std::string& name) { return vbp_test::dims_of(proto.graph(), name); };
  CHECK(dims("stages.0.blocks.0.mlp.fc1.weight") == std::vector<Index>{3, 6});
  CHECK(dims("stages.1.blocks.0.mlp.fc2.weight") == std::vector<Index>{10, 4});
  CHECK(dims("stages.1.blocks.1.mlp.fc1.bias") == std::vector<Index>{1});
  CHECK(dims("stages.2.blocks.0.mlp.fc2.weight") == std::vector<Index>{16, 2});
  CHECK(dims("stages.2.blocks.0.conv_dw.weight") == std::vector<Index>{16, 1, 7, 7});
}

TEST_CASE("what cannot be an ONNX file of a ConvNeXt is refused, and nothing written", "[onnx][convnext]") {
  const vbp_test::TemporaryFolder folder;
  vbp::io::AtomicFile file(folder / "model.onnx");
  ConvNextCheckpoint checkpoint =
      vbp::load_checkpoint<vbp::ConvNext<float>>(vbp_test::kConvNextGolden / "plain.safetensors");
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint, {.most_bytes = 1000}),
                    Catch::Matchers::Contains("an ONNX file holds at most 1000"));
  checkpoint.preprocessing.std[1] = 0.0;
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint), "preprocessing std 0 is not positive and finite");
  checkpoint.model.blocks[2].depthwise.bias.resize(2);
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint),
                    "stages.2.blocks.0.conv_dw.bias is 2 x 1, the configuration asks for 20 x 1");
  CHECK(file.size() == 0);
}
