#include "vbp/models/swin/onnx.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/folder.hpp"
#include "support/onnx.hpp"
#include "support/swin.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using vbp::Index;
using vbp::SwinCheckpoint;
using vbp::SwinConfig;
using vbp_test::exported;
using Names = std::vector<std::string>;

/// The values of a constant, which the graph holds as a node.
template <class T>
std::vector<T> constant_of(const ::onnx::GraphProto& graph, const std::string& name) {
  for (const auto& node : graph.node()) {
    if (node.name() != name) continue;
    REQUIRE(node.op_type() == "Constant");
    const std::string& bytes = node.attribute(0).t().raw_data();
    std::vector<T> values(bytes.size() / sizeof(T));
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
    return values;
  }
  return {};
}

}  // namespace

TEST_CASE("every kind of Swin Transformer is an ONNX graph with its parameters", "[onnx][swin]") {
  std::vector<SwinConfig> configs(4, vbp_test::small_swin());
  configs[1].qkv_bias = false;
  configs[1].pad_before_shift = true;
  configs[2].activation = vbp::Activation::gelu_tanh;
  configs[2].channels = 1;
  configs[3].classes = 0;
  configs[3].embedding_epsilon = 1e-3;
  for (const SwinConfig& config : configs) {
    const auto model = vbp_test::draw_swin<float>(config, 1);
    const ::onnx::ModelProto proto = vbp::onnx_graph(model).proto();
    const ::onnx::GraphProto& graph = proto.graph();
    vbp_test::check_well_formed(graph);
    vbp_test::check_parameters(graph, model);
    CHECK(vbp_test::shape_of(graph.input(0)) == Names{"batch", std::to_string(config.channels), "28", "28"});
    CHECK(graph.output(0).name() == (config.classes > 0 ? "logits" : "features"));
    CHECK(vbp_test::shape_of(graph.output(0)) == Names{"batch", config.classes > 0 ? "5" : "16"});

    auto count = vbp_test::operators_of(graph);
    const bool exact = config.activation == vbp::Activation::gelu;
    CHECK(count["Conv"] == 1);
    CHECK(count["Softmax"] == 5);
    CHECK(count["MatMul"] == 2 * 5);
    CHECK(count["Gemm"] == 4 * 5 + 2 + (config.classes > 0 ? 1 : 0));
    CHECK(count["LayerNormalization"] == 2 * 5 + 1 + 2 + 1);
    CHECK(count["Erf"] == (exact ? 5 : 0));
    CHECK(count["Tanh"] == (exact ? 0 : 5));
    for (const auto& node : graph.node()) {
      if (node.op_type() != "LayerNormalization") continue;
      INFO(node.name());
      const bool embedding =
          node.name().starts_with("patch_embed") || node.name().ends_with("downsample.norm");
      REQUIRE(node.attribute(1).name() == "epsilon");
      CHECK(node.attribute(1).f() ==
            static_cast<float>(embedding ? config.embedding_epsilon : config.epsilon));
    }
  }
}

TEST_CASE("an ONNX graph chooses the pixels of Swin's windows and hides those of other ends",
          "[onnx][swin]") {
  // Maps of 4 pixels a side and windows of 2: what is shifted by one is worked out by hand.
  const SwinConfig config{.architecture = "small",
                          .image_size = 16,
                          .dims = {4},
                          .depths = {2},
                          .heads = {1},
                          .windows = {2},
                          .hidden_widths = {8, 8}};
  const ::onnx::ModelProto proto = vbp::onnx_graph(vbp_test::draw_swin<float>(config, 1)).proto();
  const ::onnx::GraphProto& graph = proto.graph();
  using Pixels = std::vector<Index>;
  CHECK(constant_of<Index>(graph, "layers.0.plain.windows") ==
        Pixels{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15});
  CHECK(constant_of<Index>(graph, "layers.0.shifted.windows") ==
        Pixels{5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0});
  CHECK(constant_of<Index>(graph, "layers.0.shifted.map") ==
        Pixels{15, 10, 11, 14, 5, 0, 1, 4, 7, 2, 3, 6, 13, 8, 9, 12});
  // Rows of the table [3 * 3]: the middle one is a pixel's own, the first one that of the farthest above
  // left.
  CHECK(constant_of<Index>(graph, "layers.0.relative_positions") ==
        Pixels{4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4});
  const std::vector<float> mask = constant_of<float>(graph, "layers.0.mask");
  REQUIRE(mask.size() == 64);
  const float x = -100.0F;
  const auto of_window = [&](std::ptrdiff_t w) {
    return std::vector<float>(mask.begin() + 16 * w, mask.begin() + 16 * (w + 1));
  };
  CHECK(of_window(0) == std::vector<float>(16, 0.0F));
  CHECK(of_window(1) == std::vector<float>{0, x, 0, x, x, 0, x, 0, 0, x, 0, x, x, 0, x, 0});
  CHECK(of_window(2) == std::vector<float>{0, 0, x, x, 0, 0, x, x, x, x, 0, 0, x, x, 0, 0});
  CHECK(of_window(3) == std::vector<float>{0, x, x, x, x, 0, x, x, x, x, 0, x, x, x, x, 0});
}

TEST_CASE("the ONNX file of a golden Swin Transformer holds timm's tensors and save_checkpoint's metadata",
          "[onnx][swin]") {
  const vbp_test::TemporaryFolder folder;
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const std::filesystem::path path = vbp_test::kSwinGolden / (name + ".safetensors");
    const SwinCheckpoint checkpoint = vbp::load_checkpoint<vbp::SwinTransformer<float>>(path);
    const ::onnx::ModelProto proto = exported(checkpoint);
    vbp_test::check_well_formed(proto.graph());
    vbp_test::check_tensors_of_file(proto.graph(), path);
    vbp::save_checkpoint(folder / "saved", checkpoint);
    const vbp::io::Metadata saved = vbp::io::SafetensorsFile(folder / "saved").metadata();
    CHECK(vbp_test::metadata_of(proto) == std::map<std::string, std::string>(saved.begin(), saved.end()));
    CHECK(saved.contains("crop_pct"));
  }
}

TEST_CASE("the ONNX graph of a pruned Swin Transformer has the widths that are left", "[onnx][swin]") {
  auto model = vbp_test::draw_swin<float>(vbp_test::small_swin(), 2);
  const Names names = vbp::block_names(model.config);
  vbp::PruningPlan plan;
  const std::vector<std::vector<Index>> kept{{0, 5, 23}, {1, 2, 3, 12}, {32}, {0, 31}, {7, 8, 63}};
  for (std::size_t b = 0; b < kept.size(); ++b) {
    plan.blocks.push_back({.name = names[b], .width = model.config.hidden_widths[b], .kept = kept[b]});
  }
  vbp::shrink_blocks(plan, model.blocks);
  const ::onnx::ModelProto proto = vbp::onnx_graph(model).proto();
  vbp_test::check_parameters(proto.graph(), model);
  const auto dims = [&](const std::string& name) { return vbp_test::dims_of(proto.graph(), name); };
  CHECK(dims("layers.0.blocks.0.mlp.fc1.weight") == std::vector<Index>{3, 6});
  CHECK(dims("layers.0.blocks.1.mlp.fc2.weight") == std::vector<Index>{6, 4});
  CHECK(dims("layers.1.blocks.0.mlp.fc1.bias") == std::vector<Index>{1});
  CHECK(dims("layers.2.blocks.0.mlp.fc2.weight") == std::vector<Index>{16, 3});
}

TEST_CASE("what cannot be an ONNX file of a Swin Transformer is refused, and nothing written",
          "[onnx][swin]") {
  const vbp_test::TemporaryFolder folder;
  vbp::io::AtomicFile file(folder / "model.onnx");
  SwinCheckpoint checkpoint =
      vbp::load_checkpoint<vbp::SwinTransformer<float>>(vbp_test::kSwinGolden / "plain.safetensors");
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint, {.most_bytes = 1000}),
                    Catch::Matchers::Contains("an ONNX file holds at most 1000"));
  checkpoint.preprocessing.std[1] = 0.0;
  CHECK_THROWS_WITH(vbp::export_onnx(file, checkpoint), "preprocessing std 0 is not positive and finite");
  CHECK(file.size() == 0);
}
