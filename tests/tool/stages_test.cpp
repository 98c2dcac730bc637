/// The tool on the families whose networks have stages.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/distance.hpp"
#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/stats/covariance.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;
using Names = std::vector<std::string>;

/// The golden ConvNeXt "plain", and what the tool must say of it.
struct ConvNext {
  static constexpr const char *folder = "convnext", *name = "ConvNeXt", *architecture = "convnext_golden";

  static constexpr const char *widths = "hidden widths: 32 48 80 80 96", *block_name = "stages.2.blocks.1";
  static constexpr int block_width = 80;
  static constexpr const char* between_stages = "stages.1.downsample.1";
  static constexpr std::size_t stages = 4;
  static constexpr const char* stage_row = "\nstages.2  2 x 2   20       2             160";
  /// The stage before the last one.
  static json stage() {
    // Down-sampling: a norm of 12 features and a kernel of 2 x 2 from 12 to 20. A block: the depthwise
    // kernels with biases, a norm, two linear layers with biases and the layer scale.
    const int downsampling = 2 * 12 + 4 * 12 * 20 + 20;
    const int block = (49 + 1) * 20 + 2 * 20 + (20 * 80 + 80) + (80 * 20 + 20) + 20;
    return {{"name", "stages.2"},
            {"side", 2},
            {"dim", 20},
            {"blocks", 2},
            {"parameters", downsampling + 2 * block},
            {"macs", 4 * (4 * 12 * 20 + 2 * (49 * 20 + 2 * 20 * 80))}};
  }

  static constexpr std::array<std::int64_t, 5> pixels{64, 16, 4, 4, 1};
  static constexpr int half_of_neurons = 168;
  /// A share of the costs, and the share that a plan within it must exceed.
  static constexpr double budget = 0.7, just_below = 0.69;

  static Names layers() { return {"depthwise", "downsampling", "embedding", "fc1", "fc2", "head", "norm"}; }
};

/// The golden Swin Transformer "plain", and what the tool must say of it.
struct SwinTransformer {
  static constexpr const char *folder = "swin", *name = "Swin Transformer", *architecture = "swin_golden";

  static constexpr const char *widths = "hidden widths: 24 24 48 48 96", *block_name = "layers.1.blocks.1";
  static constexpr int block_width = 48;
  static constexpr const char* between_stages = "layers.1.downsample.reduction";
  static constexpr std::size_t stages = 3;
  static constexpr const char* stage_row = "\nlayers.1  4 x 4   12       2              96";
  static json stage() {
    // Merging: a norm of four times 6 features and a layer without a bias. A block: two norms, queries, keys,
    // values and output with biases, a table of 7 x 7 biases for each of two heads, the MLP.
    const int merging = 2 * 24 + 24 * 12;
    const int block = 4 * 12 + (12 * 36 + 36) + 2 * 49 + (12 * 12 + 12) + (12 * 48 + 48) + (48 * 12 + 12);
    // One window of 16 pixels: scores and weighted sums of 12 features.
    const int macs = 16 * (12 * 36 + 12 * 12 + 2 * 12 * 48) + 2 * 16 * 16 * 12;
    return {{"name", "layers.1"},
            {"side", 4},
            {"dim", 12},
            {"blocks", 2},
            {"parameters", merging + 2 * block},
            {"macs", 16 * 24 * 12 + 2 * macs}};
  }

  static constexpr std::array<std::int64_t, 5> pixels{64, 64, 16, 16, 4};
  static constexpr int half_of_neurons = 120;
  static constexpr double budget = 0.8, just_below = 0.79;

  static Names layers() {
    return {"attention", "downsampling", "embedding", "fc1", "fc2", "head", "norm", "projection", "qkv"};
  }
};

/// A workplace whose model is the golden one of the family.
template <class Family>
struct FamilyWorkplace : Workplace {
  fs::path statistics = folder / "statistics";
  fs::path out = folder / "pruned.safetensors";
  fs::path report = folder / "report.json";

  FamilyWorkplace() {
    fs::copy_file(kGolden / Family::folder / "plain.safetensors", model,
                  fs::copy_options::overwrite_existing);
  }
};

template <class Family>
Index total_width(const fs::path& model) {
  Index total = 0;
  for (const Index width : vbp::load_model(model).description().hidden_widths) total += width;
  return total;
}

}  // namespace

TEMPLATE_TEST_CASE("info tells a family from its tensors", "[stages]", ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  const std::string text = require_tool("info", at.model, "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["family"] == TestType::name);
  CHECK(report["architecture"] == TestType::architecture);
  CHECK(report["blocks"].size() == 5);
  CHECK(report["blocks"][3]["name"] == TestType::block_name);
  CHECK(report["blocks"][3]["width"] == TestType::block_width);
  CHECK(contains(text, TestType::widths));
  CHECK(contains(text, TestType::between_stages));
  REQUIRE(report["stages"].size() == TestType::stages);
  const json expected = TestType::stage();
  CHECK(report["stages"][TestType::stages - 2] == expected);
  CHECK(contains(text, TestType::stage_row));
  require_tool("info", kGolden / TestType::folder / "hf" / "model.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == TestType::name);
  require_tool("info", kGolden / "vit" / "plain.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "Vision Transformer");
  CHECK(read_json(at.report)["stages"].empty());
}

TEMPLATE_TEST_CASE("statistics of a family with stages count pixels, and parts merge to the whole",
                   "[stages]", ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics, "--covariance", "--batch",
               "4");
  const auto whole = vbp::io::Calibration::load(at.statistics);
  REQUIRE(whole.names.size() == 5);
  const auto images = static_cast<std::int64_t>(whole.images.size());
  CHECK(images > 20);
  for (std::size_t b = 0; b < 5; ++b) CHECK(whole.statistics[b].count() == images * TestType::pixels[b]);
  CHECK(whole.covariances.size() == 5);
  std::vector<fs::path> parts;
  for (int i = 0; i < 7; ++i) {
    parts.push_back(at / ("part" + std::to_string(i)));
    require_tool("calibrate", at.model, "--data", at.data / ("class " + std::to_string(i)), "--out",
                 parts.back());
  }
  require_tool("merge", parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], "--out",
               at / "all");
  const auto merged = vbp::io::Calibration::load(at / "all");
  CHECK(merged.images.size() == whole.images.size());
  CHECK(relative_distance(merged.statistics[2].variance(), whole.statistics[2].variance()) < 1e-9);
}

TEMPLATE_TEST_CASE("eval of a family with stages gives its top-1", "[stages]", ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  // A head that predicts class 2 for every image.
  RawModel raw(at.model);
  raw.fill("head.fc.weight", 0.0F);
  raw.set_values("head.fc.bias", {0, 0, 1, 0, 0, 0, 0});
  raw.write(at.model);
  require_tool("eval", at.model, "--data", at.data, "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["images"] == 26);
  CHECK(report["top1"] == Approx(4.0 / 26.0));
}

TEMPLATE_TEST_CASE("a family with stages is pruned by every criterion and compensation", "[stages]", ConvNext,
                   SwinTransformer) {
  FamilyWorkplace<TestType> at;
  const auto prune = [&](const std::string& criterion, const std::string& compensation) {
    INFO(criterion << " + " << compensation);
    require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--criterion", criterion,
                 "--compensation", compensation, "--out", at.out, "--json", at.report);
    CHECK(total_width<TestType>(at.out) == TestType::half_of_neurons);
    const json report = read_json(at.report);
    CHECK(report["removed"] == TestType::half_of_neurons);
    CHECK(report["pruned"]["parameters"] < report["dense"]["parameters"]);
    // The written model runs and differs from the dense one.
    require_tool("eval", at.out, "--data", at.data);
  };
  for (const char* criterion :
       {"variance", "output-variance", "dvbp", "greedy", "clusters", "magnitude", "snip", "random"}) {
    prune(criterion, "mean-shift");
  }
  for (const char* compensation : {"none", "refit", "sequential", "sequential-attention", "sequential-all"}) {
    prune("variance", compensation);
  }
}

TEMPLATE_TEST_CASE("a family with stages is pruned to a share of its MACs and of its parameters", "[stages]",
                   ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  for (const char* budget : {"macs", "parameters"}) {
    require_tool("prune", at.model, "--statistics", at.statistics, std::string("--") + budget,
                 std::to_string(TestType::budget), "--out", at.out, "--json", at.report);
    const json report = read_json(at.report);
    const double share = report["pruned"][budget].get<double>() / report["dense"][budget].get<double>();
    CHECK(share <= TestType::budget);
    // One removal more, in the most expensive block, would have been too much.
    CHECK(share > TestType::just_below);
  }
}

TEMPLATE_TEST_CASE("a family with stages is pruned the same whatever stays in memory", "[stages][memory]",
                   ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  const auto prune = [&](auto... options) {
    require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--out", at.out, "--json",
                 at.report, options...);
    return read_text(at.out);
  };
  const std::string expected = prune();
  // The widest block has 96 neurons, the widest stream 24 features.
  const std::int64_t least = vbp::Covariance<float>::bytes(96) + vbp::step_bytes(96, 24);
  CHECK(prune("--memory", std::to_string(least)) == expected);
  CHECK(read_json(at.report)["memory"]["bytes_in_files"] > 0);
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--out", at.out,
                         "--memory", std::to_string(least - 1)),
                2, {"--memory: one block and the work on it"});
}

TEMPLATE_TEST_CASE("statistics of one family are refused for another", "[stages]", ConvNext,
                   SwinTransformer) {
  FamilyWorkplace<TestType> at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  check_refusal(run_tool("prune", kGolden / "vit" / "plain.safetensors", "--statistics", at.statistics,
                         "--rate", "0.5", "--out", at.out),
                1, {"holds the statistics of another model"});
}

TEMPLATE_TEST_CASE("a sweep over a family with stages has the rows that prune gives", "[stages][sweep]",
                   ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  const fs::path calibration = at.folder / "calibration";
  fs::create_directory(calibration);
  for (const auto& entry : fs::directory_iterator(at.data / "class 0")) {
    fs::rename(entry.path(), calibration / entry.path().filename());
  }
  require_tool("sweep", at.model, "--calibrate", calibration, "--evaluate", at.data, "--rates", "0.5",
               "--criteria", "variance,greedy", "--compensations", "mean-shift,sequential-all", "--json",
               at.report);
  const json sweep = read_json(at.report);
  // The dense model, the reference ob2c, and two criteria by two compensations.
  REQUIRE(sweep["rows"].size() == 6);
  for (const json& row : sweep["rows"]) {
    if (row["method"] == "dense") continue;
    const std::string criterion = row["criterion"], compensation = row["compensation"];
    INFO(criterion << " + " << compensation);
    require_tool("prune", at.model, "--calibrate", calibration, "--evaluate", at.data, "--rate", "0.5",
                 "--criterion", criterion, "--compensation", compensation, "--out", at.out, "--json",
                 at / "prune.json");
    const json pruned = read_json(at / "prune.json")["pruned"];
    for (const char* key : {"top1", "parameters", "macs"}) CHECK(row[key] == pruned[key]);
  }
}

TEMPLATE_TEST_CASE("explain shows each block of a family with stages", "[stages][explain]", ConvNext,
                   SwinTransformer) {
  FamilyWorkplace<TestType> at;
  const fs::path page = at / "page.html";
  require_tool("explain", at.model, "--calibrate", at.data, "--rate", "0.5", "--out", page, "--json",
               at.report);
  const json report = read_json(at.report);
  REQUIRE(report["blocks"].size() == 5);
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--criterion", "greedy",
               "--compensation", "refit", "--out", at.out, "--json", at / "prune.json");
  const json pruned = read_json(at / "prune.json");
  for (std::size_t b = 0; b < 5; ++b) {
    const json &block = report["blocks"][b], &step = pruned["compensated"][b];
    INFO(block["name"]);
    CHECK(block["name"] == pruned["blocks"][b]["name"]);
    CHECK(block["width_after"] == pruned["blocks"][b]["width_after"]);
    CHECK(block["error_refit"] == Approx(step["error_refit"].get<double>()));
    CHECK(block["error_mean_shift"] == Approx(step["error_mean_shift"].get<double>()));
    CHECK(contains(read_text(page), ">" + block["name"].get<std::string>() + "<"));
  }
}

TEMPLATE_TEST_CASE("bench runs families beside each other and names the layers that each has", "[stages]",
                   ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  // Random pixels need no normalisation, so mean and std may be unknown.
  RawModel raw(at.model);
  raw.metadata().erase("mean");
  raw.metadata().erase("std");
  raw.write(at.model);
  const std::string text = require_tool("bench", at.model, kGolden / "vit" / "plain.safetensors",
                                        "--image-size", "32", "--repeat", "2", "--json", at.report);
  const json report = read_json(at.report);
  REQUIRE(report["models"].size() == 2);
  const auto kinds = [&](std::size_t model) {
    Names names;
    for (const auto& [name, share] : report["models"][model]["share_of_time"].items()) names.push_back(name);
    return names;
  };
  // In alphabetic order, because the JSON reader sorts members.
  CHECK(kinds(0) == TestType::layers());
  CHECK(kinds(1) == Names{"attention", "embedding", "fc1", "fc2", "head", "norm", "projection", "qkv"});
  for (const std::size_t model : {0U, 1U}) {
    for (const std::string& name : kinds(model)) CHECK(contains(text, name));
  }
  require_tool("info", at.model, "--json", at.report);
  CHECK(report["models"][0]["macs"] == read_json(at.report)["macs"]);
}

TEMPLATE_TEST_CASE("a budget in time is refused for a family whose blocks differ in more than their widths",
                   "[stages][refusal]", ConvNext, SwinTransformer) {
  FamilyWorkplace<TestType> at;
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data, "--latency", "0.5", "--out", at.out), 1,
                {"vbp: a latency budget is for models whose blocks are all alike, not for a " +
                 std::string(TestType::name) + "\n"});
  CHECK_FALSE(fs::exists(at.out));
}

TEST_CASE("what a ConvNeXt cannot be is refused, and what was looked for is said", "[stages][refusal]") {
  FamilyWorkplace<ConvNext> at;
  check_refusal(run_tool("info", at.model, "--set", "num_heads=2"), 1, {"unknown option \"num_heads\""});
  check_refusal(run_tool("info", at.model, "--image-size", "16"), 1,
                {"an image size of 16 is too small for patches of 4 and 4 stages"});
  RawModel raw(at.model);
  raw.header["stem.conv.weight"] = raw.header["stem.0.weight"];
  raw.header.erase("stem.0.weight");
  raw.write(at.model);
  check_refusal(run_tool("info", at.model), 1,
                {at.model.string() + ": holds no model of a known family",
                 "patch_embed.proj.weight (Vision Transformer, timm)", "stem.0.weight (ConvNeXt, timm)"});
}

TEST_CASE("what a Swin Transformer cannot be is refused", "[stages][refusal]") {
  FamilyWorkplace<SwinTransformer> at;
  check_refusal(run_tool("info", at.model, "--set", "num_heads=2"), 1,
                {"num_heads is \"2\" (option), but the tensors say [2,2,4]"});
  check_refusal(run_tool("info", at.model, "--image-size", "3"), 1,
                {"an image size of 3 is too small for patches of 4"});
  RawModel raw(at.model);
  raw.header["layers.0.blocks.0.attn.logit_scale"] = raw.header["norm.bias"];
  raw.header.erase("norm.bias");
  raw.write(at.model);
  check_refusal(run_tool("info", at.model), 1, {"belongs to a Swin Transformer of the second version"});
}
