/// What the tool does for a ConvNeXt: the same as for a Vision Transformer.

#include "support/convnext.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/convnext/checkpoint.hpp"
#include "vbp/io/calibration.hpp"
#include "vbp/prune/sequential.hpp"
#include "vbp/stats/covariance.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

struct ConvNextWorkplace : Workplace {
  fs::path statistics = folder / "statistics";
  fs::path out = folder / "pruned.safetensors";
  fs::path report = folder / "report.json";

  ConvNextWorkplace() {
    fs::copy_file(kGolden / "convnext" / "plain.safetensors", model, fs::copy_options::overwrite_existing);
  }
};

Index total_width(const fs::path& model) {
  Index total = 0;
  for (const Index width : vbp::load_convnext(model).model.config.hidden_widths) total += width;
  return total;
}

}  // namespace

TEST_CASE("info tells a ConvNeXt from its tensors", "[convnext]") {
  ConvNextWorkplace at;
  const std::string text = require_tool("info", at.model, "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["family"] == "ConvNeXt");
  CHECK(report["architecture"] == "convnext_golden");
  CHECK(report["blocks"].size() == 5);
  CHECK(report["blocks"][3]["name"] == "stages.2.blocks.1");
  CHECK(report["blocks"][3]["width"] == 80);
  CHECK(contains(text, "hidden widths: 32 48 80 80 96"));
  CHECK(contains(text, "stages.1.downsample.1"));
  REQUIRE(report["stages"].size() == 4);
  // Down-sampling: a norm of 12 features and a kernel of 2 x 2 from 12 to 20. A block: the depthwise kernels
  // with biases, a norm, two linear layers with biases and the layer scale.
  const int downsampling = 2 * 12 + 4 * 12 * 20 + 20;
  const int block = (49 + 1) * 20 + 2 * 20 + (20 * 80 + 80) + (80 * 20 + 20) + 20;
  const json expected = {{"name", "stages.2"},
                         {"side", 2},
                         {"dim", 20},
                         {"blocks", 2},
                         {"parameters", downsampling + 2 * block},
                         {"macs", 4 * (4 * 12 * 20 + 2 * (49 * 20 + 2 * 20 * 80))}};
  CHECK(report["stages"][2] == expected);
  CHECK(contains(text, "\nstages.2  2 x 2   20       2             160"));
  require_tool("info", kGolden / "convnext" / "hf" / "model.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "ConvNeXt");
  require_tool("info", kGolden / "vit" / "plain.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "Vision Transformer");
  CHECK(read_json(at.report)["stages"].empty());
}

TEST_CASE("statistics of a ConvNeXt count pixels, and parts merge to the whole", "[convnext]") {
  ConvNextWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics, "--covariance", "--batch",
               "4");
  const auto whole = vbp::io::Calibration::load(at.statistics);
  REQUIRE(whole.names.size() == 5);
  const auto images = static_cast<std::int64_t>(whole.images.size());
  CHECK(images > 20);
  CHECK(whole.statistics[0].count() == images * 64);
  CHECK(whole.statistics[1].count() == images * 16);
  CHECK(whole.statistics[4].count() == images);
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

TEST_CASE("eval of a ConvNeXt gives its top-1", "[convnext]") {
  ConvNextWorkplace at;
  // A head that answers every image with class 2.
  RawModel raw(at.model);
  raw.fill("head.fc.weight", 0.0F);
  raw.set_values("head.fc.bias", {0, 0, 1, 0, 0, 0, 0});
  raw.write(at.model);
  require_tool("eval", at.model, "--data", at.data, "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["images"] == 26);
  CHECK(report["top1"] == Approx(4.0 / 26.0));
}

TEST_CASE("a ConvNeXt is pruned by every criterion and compensation", "[convnext]") {
  ConvNextWorkplace at;
  const auto prune = [&](const std::string& criterion, const std::string& compensation) {
    INFO(criterion << " + " << compensation);
    require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--criterion", criterion,
                 "--compensation", compensation, "--out", at.out, "--json", at.report);
    CHECK(total_width(at.out) == 168);
    const json report = read_json(at.report);
    CHECK(report["removed"] == 168);
    CHECK(report["pruned"]["parameters"] < report["dense"]["parameters"]);
    // What was written runs, and is another model.
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

TEST_CASE("a ConvNeXt is pruned to a share of its MACs and of its parameters", "[convnext]") {
  ConvNextWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  for (const char* budget : {"macs", "parameters"}) {
    require_tool("prune", at.model, "--statistics", at.statistics, std::string("--") + budget, "0.7", "--out",
                 at.out, "--json", at.report);
    const json report = read_json(at.report);
    const double share = report["pruned"][budget].get<double>() / report["dense"][budget].get<double>();
    CHECK(share <= 0.7);
    // One neuron of the dearest block fewer would have been too many.
    CHECK(share > 0.69);
  }
}

TEST_CASE("a ConvNeXt is pruned the same whatever stays in memory", "[convnext][memory]") {
  ConvNextWorkplace at;
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

TEST_CASE("statistics of one family are refused for another", "[convnext]") {
  ConvNextWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  check_refusal(run_tool("prune", kGolden / "vit" / "plain.safetensors", "--statistics", at.statistics,
                         "--rate", "0.5", "--out", at.out),
                1, {"holds the statistics of another model"});
}

TEST_CASE("a sweep over a ConvNeXt has the rows that prune gives", "[convnext][sweep]") {
  ConvNextWorkplace at;
  const fs::path calibration = at.folder / "calibration";
  fs::create_directory(calibration);
  for (const auto& entry : fs::directory_iterator(at.data / "class 0")) {
    fs::rename(entry.path(), calibration / entry.path().filename());
  }
  require_tool("sweep", at.model, "--calibrate", calibration, "--evaluate", at.data, "--rates", "0.5",
               "--criteria", "variance,greedy", "--compensations", "mean-shift,sequential-all", "--json",
               at.report);
  const json sweep = read_json(at.report);
  // The dense model, the reference ob2c, and two by two.
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

TEST_CASE("explain shows each block of a ConvNeXt", "[convnext][explain]") {
  ConvNextWorkplace at;
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

TEST_CASE("bench runs families beside each other and names the layers that each has", "[convnext]") {
  ConvNextWorkplace at;
  const std::string text = require_tool("bench", at.model, kGolden / "vit" / "plain.safetensors",
                                        "--image-size", "32", "--repeat", "2", "--json", at.report);
  const json report = read_json(at.report);
  REQUIRE(report["models"].size() == 2);
  const auto kinds = [&](std::size_t model) {
    std::vector<std::string> names;
    for (const auto& [name, share] : report["models"][model]["share_of_time"].items()) names.push_back(name);
    return names;
  };
  // In the order of the alphabet, as the reader keeps members.
  CHECK(kinds(0) ==
        std::vector<std::string>{"depthwise", "downsampling", "embedding", "fc1", "fc2", "head", "norm"});
  CHECK(kinds(1) == std::vector<std::string>{"attention", "embedding", "fc1", "fc2", "head", "norm",
                                             "projection", "qkv"});
  CHECK(contains(text, "depthwise"));
  CHECK(contains(text, "attention"));
  require_tool("info", at.model, "--json", at.report);
  CHECK(report["models"][0]["macs"] == read_json(at.report)["macs"]);
}

TEST_CASE("a budget in time is refused for a ConvNeXt, whose blocks differ in more than their widths",
          "[convnext][refusal]") {
  ConvNextWorkplace at;
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data, "--latency", "0.5", "--out", at.out), 1,
                {"vbp: --latency is for models whose blocks are all alike, not for a ConvNeXt\n"});
  CHECK_FALSE(fs::exists(at.out));
}

TEST_CASE("what a ConvNeXt cannot be is refused, and what was looked for is said", "[convnext][refusal]") {
  ConvNextWorkplace at;
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
