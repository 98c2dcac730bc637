#include "vbp/models/vit/onnx.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/onnx.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::VitCheckpoint;
using vbp::VitConfig;
using vbp_test::exported;
using vbp_test::TemporaryFolder;

const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden" / "vit";
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("every kind of Vision Transformer is an ONNX graph with its parameters", "[onnx][vit]") {
  for (const vbp_test::TinyVit& tiny : vbp_test::tiny_vits()) {
    INFO(tiny.name);
    const VitConfig& config = tiny.config;
    const auto model = vbp_test::draw_vit<float>(config, 1);
    const ::onnx::ModelProto proto = vbp::onnx_graph(model).proto();
    const ::onnx::GraphProto& graph = proto.graph();
    vbp_test::check_well_formed(graph);
    vbp_test::check_parameters(graph, model);
    CHECK(graph.input(0).name() == "images");
    CHECK(vbp_test::shape_of(graph.input(0)) == Names{"batch", "2", "6", "6"});
    CHECK(graph.output(0).name() == (config.classes > 0 ? "logits" : "features"));
    CHECK(vbp_test::shape_of(graph.output(0)) == Names{"batch", std::to_string(config.outputs())});

    auto count = vbp_test::operators_of(graph);
    const int depth = static_cast<int>(config.depth());
    const int heads = config.classes == 0 ? 0 : config.distillation_token ? 2 : 1;
    const int norms = config.norm && heads == 2 ? 2 : config.norm ? 1 : 0;
    CHECK(count["Conv"] == 1);
    CHECK(count["Softmax"] == depth);
    CHECK(count["MatMul"] == 2 * depth);
    CHECK(count["Gemm"] == 4 * depth + heads);
    CHECK(count["LayerNormalization"] == 2 * depth + norms + (config.fc_norm ? 1 : 0));
    CHECK(count["Erf"] == (config.activation == vbp::Activation::gelu ? depth : 0));
    CHECK(count["Tanh"] == (config.activation == vbp::Activation::gelu ? 0 : depth));
    CHECK(count["ReduceMean"] == (config.pooling == vbp::Pooling::class_token ? 0 : 1));
    for (const auto& node : graph.node()) {
      if (node.op_type() != "LayerNormalization") continue;
      INFO(node.name());
      REQUIRE(node.attribute(1).name() == "epsilon");
      CHECK(node.attribute(1).f() == static_cast<float>(config.epsilon));
    }
  }
}

TEST_CASE("the ONNX file of a golden Vision Transformer holds timm's tensors and save_checkpoint's metadata",
          "[onnx][vit]") {
  const TemporaryFolder folder;
  for (const char* name : {"plain", "distilled", "registers", "registers_embedded", "layer_scale",
                           "average_pool", "no_class_token", "no_qkv_bias", "widths", "one_channel"}) {
    INFO(name);
    const fs::path path = kGolden / (std::string(name) + ".safetensors");
    const VitCheckpoint checkpoint = vbp::load_checkpoint<vbp::VisionTransformer<float>>(path);
    const ::onnx::ModelProto proto = exported(checkpoint);
    vbp_test::check_well_formed(proto.graph());
    vbp_test::check_tensors_of_file(proto.graph(), path);
    CHECK(proto.graph().name() == "vit_golden");
    vbp::save_checkpoint(folder / "saved", checkpoint);
    const vbp::io::Metadata saved = vbp::io::SafetensorsFile(folder / "saved").metadata();
    CHECK(vbp_test::metadata_of(proto) == std::map<std::string, std::string>(saved.begin(), saved.end()));
    CHECK(saved.at("crop_pct") == "0.9");
  }
}

TEST_CASE("the ONNX graph of a pruned Vision Transformer has the widths that are left", "[onnx][vit]") {
  VitCheckpoint checkpoint =
      vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / "plain.safetensors");
  vbp::PruningPlan plan;
  plan.blocks = {{.name = "blocks.0", .width = 48, .kept = {0, 3, 5, 7, 46}},
                 {.name = "blocks.1", .width = 48, .kept = {1, 2, 47}}};
  vbp::shrink_blocks(plan, checkpoint.model.blocks);
  const ::onnx::ModelProto proto = exported(checkpoint);
  vbp_test::check_parameters(proto.graph(), checkpoint.model);
  const auto dims = [&](const char* name) { return vbp_test::dims_of(proto.graph(), name); };
  CHECK(dims("blocks.0.mlp.fc1.weight") == std::vector<Index>{5, 24});
  CHECK(dims("blocks.0.mlp.fc1.bias") == std::vector<Index>{5});
  CHECK(dims("blocks.0.mlp.fc2.weight") == std::vector<Index>{24, 5});
  CHECK(dims("blocks.1.mlp.fc1.weight") == std::vector<Index>{3, 24});
  CHECK(dims("blocks.1.mlp.fc2.weight") == std::vector<Index>{24, 3});
  CHECK(vbp_test::metadata_of(proto).at("hidden_widths") == "[5,3]");
}

TEST_CASE("what cannot be an ONNX file of a Vision Transformer is refused, and nothing written",
          "[onnx][vit]") {
  const TemporaryFolder folder;
  vbp::io::AtomicFile file(folder / "model.onnx");
  VitCheckpoint checkpoint =
      vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / "plain.safetensors");
  const auto refuse = [&](auto&& change, const std::string& reason) {
    VitCheckpoint changed = checkpoint;
    change(changed);
    CHECK_THROWS_WITH(vbp::export_onnx(file, changed), reason);
    CHECK(file.size() == 0);
  };
  refuse([](auto& c) { c.model.config.heads = 0; }, "heads must be positive, not 0");
  refuse([](auto& c) { c.model.config.epsilon = 0.0; }, "layer_norm_eps must lie between 0 and 1");
  refuse([](auto& c) { c.preprocessing.mean[0] = std::numeric_limits<double>::quiet_NaN(); },
         "preprocessing mean is not finite");
  refuse([](auto& c) { c.model.blocks[1].fc2.bias.resize(23); },
         "blocks.1.mlp.fc2.bias is 23 x 1, the configuration asks for 24 x 1");
  refuse([](auto& c) { c.preprocessing.image_size = 20; },
         "images are made for a size of 20, the model is for 16");
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint, {.most_bytes = 1000}),
                    Catch::Matchers::Contains("an ONNX file holds at most 1000"));
  CHECK(file.size() == 0);
}
