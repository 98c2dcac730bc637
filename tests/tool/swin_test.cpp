/// What the tool does for a Swin Transformer: the same as for a Vision Transformer.

#include "support/swin.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/io/calibration.hpp"
#include "vbp/prune/sequential.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/swin/checkpoint.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

struct SwinWorkplace : Workplace {
  fs::path statistics = folder / "statistics";
  fs::path out = folder / "pruned.safetensors";
  fs::path report = folder / "report.json";

  SwinWorkplace() {
    fs::copy_file(kGolden / "swin" / "plain.safetensors", model, fs::copy_options::overwrite_existing);
  }
};

Index total_width(const fs::path& model) {
  Index total = 0;
  for (const Index width : vbp::load_swin(model).model.config.hidden_widths) total += width;
  return total;
}

}  // namespace

TEST_CASE("info tells a Swin Transformer from its tensors", "[swin]") {
  SwinWorkplace at;
  const std::string text = require_tool("info", at.model, "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["family"] == "Swin Transformer");
  CHECK(report["architecture"] == "swin_golden");
  CHECK(report["blocks"].size() == 5);
  CHECK(report["blocks"][3]["name"] == "layers.1.blocks.1");
  CHECK(report["blocks"][3]["width"] == 48);
  CHECK(contains(text, "hidden widths: 24 24 48 48 96"));
  CHECK(contains(text, "layers.1.downsample.reduction"));
  REQUIRE(report["stages"].size() == 3);
  // Merging: a norm of four times 6 features and a layer without a bias. A block: two norms, queries, keys,
  // values and output with biases, a table of 7 x 7 biases for each of two heads, the MLP.
  const int merging = 2 * 24 + 24 * 12;
  const int block = 4 * 12 + (12 * 36 + 36) + 2 * 49 + (12 * 12 + 12) + (12 * 48 + 48) + (48 * 12 + 12);
  // One window of 16 pixels: scores and weighted sums of 12 features.
  const int macs = 16 * (12 * 36 + 12 * 12 + 2 * 12 * 48) + 2 * 16 * 16 * 12;
  const json expected = {{"name", "layers.1"},
                         {"side", 4},
                         {"dim", 12},
                         {"blocks", 2},
                         {"parameters", merging + 2 * block},
                         {"macs", 16 * 24 * 12 + 2 * macs}};
  CHECK(report["stages"][1] == expected);
  CHECK(contains(text, "\nlayers.1  4 x 4   12       2              96"));
  require_tool("info", kGolden / "swin" / "hf" / "model.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "Swin Transformer");
  require_tool("info", kGolden / "vit" / "plain.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "Vision Transformer");
  CHECK(read_json(at.report)["stages"].empty());
}

TEST_CASE("statistics of a Swin Transformer count pixels, and parts merge to the whole", "[swin]") {
  SwinWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics, "--covariance", "--batch",
               "4");
  const auto whole = vbp::io::Calibration::load(at.statistics);
  REQUIRE(whole.names.size() == 5);
  const auto images = static_cast<std::int64_t>(whole.images.size());
  CHECK(images > 20);
  CHECK(whole.statistics[0].count() == images * 64);
  CHECK(whole.statistics[2].count() == images * 16);
  CHECK(whole.statistics[4].count() == images * 4);
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

TEST_CASE("eval of a Swin Transformer gives its top-1", "[swin]") {
  SwinWorkplace at;
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

TEST_CASE("a Swin Transformer is pruned by every criterion and compensation", "[swin]") {
  SwinWorkplace at;
  const auto prune = [&](const std::string& criterion, const std::string& compensation) {
    INFO(criterion << " + " << compensation);
    require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--criterion", criterion,
                 "--compensation", compensation, "--out", at.out, "--json", at.report);
    CHECK(total_width(at.out) == 120);
    const json report = read_json(at.report);
    CHECK(report["removed"] == 120);
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

TEST_CASE("a Swin Transformer is pruned to a share of its MACs and of its parameters", "[swin]") {
  SwinWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  for (const char* budget : {"macs", "parameters"}) {
    require_tool("prune", at.model, "--statistics", at.statistics, std::string("--") + budget, "0.8", "--out",
                 at.out, "--json", at.report);
    const json report = read_json(at.report);
    const double share = report["pruned"][budget].get<double>() / report["dense"][budget].get<double>();
    CHECK(share <= 0.8);
    // One neuron of the dearest block fewer would have been too many.
    CHECK(share > 0.79);
  }
}

TEST_CASE("a Swin Transformer is pruned the same whatever stays in memory", "[swin][memory]") {
  SwinWorkplace at;
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

TEST_CASE("statistics of a Swin Transformer are refused for a Vision Transformer", "[swin]") {
  SwinWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  check_refusal(run_tool("prune", kGolden / "vit" / "plain.safetensors", "--statistics", at.statistics,
                         "--rate", "0.5", "--out", at.out),
                1, {"holds the statistics of another model"});
}

TEST_CASE("a sweep over a Swin Transformer has the rows that prune gives", "[swin][sweep]") {
  SwinWorkplace at;
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

TEST_CASE("explain shows each block of a Swin Transformer", "[swin][explain]") {
  SwinWorkplace at;
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

TEST_CASE("bench names the layers that a Swin Transformer has", "[swin]") {
  SwinWorkplace at;
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
  CHECK(kinds(0) == std::vector<std::string>{"attention", "downsampling", "embedding", "fc1", "fc2", "head",
                                             "norm", "projection", "qkv"});
  CHECK(contains(text, "downsampling"));
  require_tool("info", at.model, "--json", at.report);
  CHECK(report["models"][0]["macs"] == read_json(at.report)["macs"]);
}

TEST_CASE("a budget in time is refused for a Swin Transformer, whose blocks differ in more than their widths",
          "[swin][refusal]") {
  SwinWorkplace at;
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data, "--latency", "0.5", "--out", at.out), 1,
                {"vbp: --latency is for models whose blocks are all alike, not for a Swin Transformer\n"});
  CHECK_FALSE(fs::exists(at.out));
}

TEST_CASE("what a Swin Transformer cannot be is refused", "[swin][refusal]") {
  SwinWorkplace at;
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
