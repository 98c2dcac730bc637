/// Training of ConvNeXts and Swin Transformers; finetune_test.cpp has the rest, with Vision Transformers.

#include <fstream>
#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/swin/checkpoint.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

struct Family {
  std::string name;
  fs::path dense;
  std::string config;
};

const std::vector<Family>& families() {
  static const std::vector<Family> all{
      {"ConvNeXt", kGolden / "convnext" / "plain.safetensors",
       R"({"architecture": "tiny", "image_size": 16, "patch_size": 2, "dims": [8, 12], "depths": [1, 2],
           "hidden_widths": [16, 24, 20], "crop_pct": 1.0, "layer_norm_eps": 1e-4})"},
      {"Swin Transformer", kGolden / "swin" / "plain.safetensors",
       R"({"architecture": "tiny", "image_size": 16, "patch_size": 2, "dims": [8, 12], "depths": [1, 2],
           "num_heads": [2, 3], "window_size": 3, "hidden_widths": [16, 24, 20], "crop_pct": 1.0,
           "layer_norm_eps": 1e-4})"}};
  return all;
}

/// The losses of the epochs that a log holds.
std::vector<double> losses(const fs::path& log) {
  std::vector<double> all;
  std::ifstream stream(log);
  for (std::string line; std::getline(stream, line);) {
    const json entry = json::parse(line);
    if (entry["kind"] == "epoch") all.push_back(entry["loss"]);
  }
  return all;
}

}  // namespace

TEST_CASE("a pruned model of every family is fine-tuned, the same whatever is kept", "[finetune]") {
  for (const Family& family : families()) {
    INFO(family.name);
    Workplace at;
    const fs::path student = at / "student.safetensors", report = at / "report.json";
    require_tool("prune", family.dense, "--calibrate", at.data, "--rate", "0.3", "--criterion", "snip",
                 "--compensation", "mean-shift", "--out", student);
    const auto tune = [&](const char* name, const auto&... options) {
      require_tool("finetune", student, "--teacher", family.dense, "--data", at.data, "--out", at / name,
                   "--batch", "5", "--mixup", "0.5", "--average", "0.9", "--layer-decay", "0.8", "--lr",
                   "1e-3", "--min-lr", "1e-3", "--epochs", "3", options...);
      return read_text(at / name);
    };
    const std::string tuned = tune("a.safetensors");
    CHECK(tuned != read_text(student));
    CHECK(tune("b.safetensors", "--threads", "1", "--recompute") == tuned);
    const std::vector<double> all = losses(at / "a.jsonl");
    REQUIRE(all.size() == 3);
    CHECK(all.back() < all.front());
    const std::string text =
        require_tool("finetune", student, "--data", at.data, "--out", at / "c", "--memory", "--json", report);
    CHECK(contains(text, "activations of a batch"));
    const json memory = read_json(report)["activation_bytes"];
    CHECK(memory["recomputed"].get<double>() < memory["kept"].get<double>());
    // A teacher gets the student's images and must be of its family.
    check_refusal(
        run_tool("finetune", student, "--teacher", at.model, "--data", at.data, "--out", at / "c"), 1,
        {"model.safetensors: is a Vision Transformer; the teacher of a " + family.name + " must be one"});
    CHECK_FALSE(fs::exists(at / "c"));
  }
}

TEST_CASE("train makes a model of the family that a configuration's keys tell", "[train]") {
  for (const Family& family : families()) {
    INFO(family.name);
    Workplace at;
    const fs::path net = at / "net.json", out = at / "trained.safetensors", report = at / "report.json";
    write_text(net, family.config);
    const std::string text =
        require_tool("train", "--config", net, "--data", at.data, "--out", out, "--epochs", "2", "--warmup",
                     "1", "--batch", "13", "--set", "patch_size=4");
    CHECK(contains(text, "epoch 2"));
    require_tool("info", out, "--json", report);
    const json info = read_json(report);
    CHECK(info["family"] == family.name);
    CHECK(info["architecture"] == "tiny");
    REQUIRE(info["stages"].size() == 2);
    CHECK(info["stages"][0]["side"] == 4);
    REQUIRE(info["blocks"].size() == 3);
    CHECK(info["blocks"][2]["width"] == 20);
    require_tool("eval", out, "--data", at.data, "--json", report);
    check_refusal(
        run_tool("train", "--config", net, "--data", at.data, "--out", at / "c", "--set", "depth=2"), 1,
        {R"(there is no configuration value "depth" of a )" + family.name});
    CHECK_FALSE(fs::exists(at / "c"));
  }
}

TEST_CASE("layer scales begin small, or as they are told to", "[train]") {
  Workplace at;
  write_text(at / "net.json", families()[0].config);
  const auto trained = [&](const auto&... options) {
    require_tool("train", "--config", at / "net.json", "--data", at.data, "--out", at / "out", "--epochs",
                 "2", "--warmup", "1", "--batch", "13", options...);
    return vbp::load_checkpoint<vbp::ConvNext<float>>(at / "out").model;
  };
  // Two epochs of two steps have moved them by at most 1e-3 a step.
  const float scale = trained().blocks[0].layer_scale.cwiseAbs().maxCoeff();
  CHECK(scale > 2e-6F);
  CHECK(scale < 4.1e-3F);
  const vbp::ConvNext<float> model = trained("--layer-scale", "0.5");
  CHECK(model.blocks[0].layer_scale.minCoeff() > 0.49F);
  CHECK(model.config.head_epsilon == 1e-4);
  CHECK(model.config.classes == 7);
}
