/// What the tool does for a ConvNeXt: the same as for a Vision Transformer, training and timing aside.

#include "support/convnext.hpp"

#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/convnext/checkpoint.hpp"
#include "vbp/io/calibration.hpp"

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
  require_tool("info", kGolden / "convnext" / "hf" / "model.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "ConvNeXt");
  require_tool("info", kGolden / "vit" / "plain.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["family"] == "Vision Transformer");
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
       {"variance", "output-variance", "dvbp", "greedy", "clusters", "magnitude", "random"}) {
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

TEST_CASE("statistics of one family are refused for another", "[convnext]") {
  ConvNextWorkplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at.statistics);
  check_refusal(run_tool("prune", kGolden / "vit" / "plain.safetensors", "--statistics", at.statistics,
                         "--rate", "0.5", "--out", at.out),
                1, {"holds the statistics of another model"});
}

TEST_CASE("what is not for a ConvNeXt yet is refused", "[convnext]") {
  ConvNextWorkplace at;
  check_refusal(run_tool("finetune", at.model, "--data", at.data, "--out", at.out), 1,
                {at.model.string(), "is a ConvNeXt; vbp finetune is for Vision Transformers alone"});
  check_refusal(run_tool("bench", at.model), 1,
                {"is a ConvNeXt; vbp bench is for Vision Transformers alone"});
  CHECK_FALSE(fs::exists(at.out));
}
