#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;
using Widths = std::vector<Index>;

/// Hidden widths after pruning, from the report.
Widths widths_of(const fs::path& report) {
  const json pruning = read_json(report);
  Widths widths;
  for (const json& block : pruning["blocks"]) widths.push_back(block["width_after"]);
  return widths;
}

/// A workplace with the statistics of its data.
struct Calibrated : Workplace {
  fs::path statistics = folder / "statistics";
  fs::path out = folder / "pruned.safetensors";
  fs::path report = folder / "prune.json";

  Calibrated() { require_tool("calibrate", model, "--data", data, "--out", statistics); }

  /// The widths that pruning with these options leaves.
  template <class... Options>
  Widths prune(const Options&... options) {
    require_tool("prune", model, "--statistics", statistics, "--out", out, "--json", report, options...);
    return widths_of(report);
  }
};

/// Adds a head that predicts the class for every image.
void answer_always(const fs::path& path, std::size_t label) {
  RawModel model(path);
  model.fill("head.weight", 0.0F);
  std::vector<float> bias(7, 0.0F);
  bias[label] = 1.0F;
  model.set_values("head.bias", bias);
  model.write(path);
}

}  // namespace

TEST_CASE("prune removes the least varying neurons of all blocks and folds their means", "[prune]") {
  Calibrated at;
  const std::string text = require_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out,
                                        "--rate", "0.4", "--json", at.report);
  const auto calibration = vbp::io::Calibration::load(at.statistics);
  // The threshold is the 38th smallest variance: floor(0.4 * 96) go.
  std::vector<double> variances;
  for (const auto& statistics : calibration.statistics) {
    for (Index j = 0; j < 48; ++j) variances.push_back(statistics.m2()[j] / (26.0 * 17.0 - 1.0));
  }
  std::sort(variances.begin(), variances.end());
  REQUIRE(variances[37] < variances[38]);
  const double threshold = variances[37];

  const RawModel dense(at.model), pruned(at.out);
  for (std::size_t block = 0; block < 2; ++block) {
    const std::string name = "blocks." + std::to_string(block) + ".mlp.";
    const auto fc1 = dense.values(name + "fc1.weight"), fc2 = dense.values(name + "fc2.weight");
    const auto bias1 = dense.values(name + "fc1.bias"), bias2 = dense.values(name + "fc2.bias");
    std::vector<float> fc1_left, bias1_left, fc2_left;
    std::vector<double> folded(bias2.begin(), bias2.end());
    double kept_variance = 0.0, variance = 0.0;
    std::vector<std::size_t> kept;
    for (std::size_t j = 0; j < 48; ++j) {
      const auto at_j = static_cast<Index>(j);
      const double own = calibration.statistics[block].m2()[at_j] / (26.0 * 17.0 - 1.0);
      variance += own;
      if (own > threshold) {
        kept_variance += own;
        kept.push_back(j);
        fc1_left.insert(fc1_left.end(), &fc1[j * 24], &fc1[j * 24] + 24);
        bias1_left.push_back(bias1[j]);
      } else {
        for (std::size_t i = 0; i < 24; ++i) {
          folded[i] += static_cast<double>(fc2[i * 48 + j]) * calibration.statistics[block].mean()[at_j];
        }
      }
    }
    for (std::size_t i = 0; i < 24; ++i) {
      for (const std::size_t j : kept) fc2_left.push_back(fc2[i * 48 + j]);
    }
    CHECK(pruned.values(name + "fc1.weight") == fc1_left);
    CHECK(pruned.values(name + "fc1.bias") == bias1_left);
    CHECK(pruned.values(name + "fc2.weight") == fc2_left);
    const auto bias = pruned.values(name + "fc2.bias");
    // The bias is rounded to float once.
    for (std::size_t i = 0; i < 24; ++i) CHECK(bias[i] == Approx(folded[i]).epsilon(1.2e-7).margin(1e-9));
    const json reported = read_json(at.report)["blocks"][block];
    CHECK(reported["name"] == "blocks." + std::to_string(block));
    CHECK(reported["width_before"] == 48);
    CHECK(reported["width_after"] == kept.size());
    CHECK(reported["variance_kept"] == Approx(kept_variance / variance));
  }
  for (const auto& [name, entry] : dense.header.items()) {
    if (name == "__metadata__" || contains(name, ".mlp.")) continue;
    INFO(name);
    CHECK(pruned.values(name) == dense.values(name));
  }
  CHECK(contains(text, "38 of 96 neurons removed"));
}

TEST_CASE("prune reports dense and pruned side by side", "[prune]") {
  Calibrated at;
  const std::string text = require_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out,
                                        "--rate", "0.5", "--threads", "1", "--json", at.report);
  const json report = read_json(at.report);
  CHECK(report["method"] == "vbp");
  CHECK(report["scope"] == "global");
  CHECK(report["calibration_images"] == 26);
  CHECK(report["neurons"] == 96);
  CHECK(report["requested"] == 48);
  CHECK(report["removed"] == 48);
  CHECK(report["threads"] == 1);
  for (const auto& [side, file] : {std::pair("dense", at.model), std::pair("pruned", at.out)}) {
    require_tool("info", file, "--json", at / "info.json");
    const json info = read_json(at / "info.json");
    for (const char* key : {"parameters", "macs", "macs_fvcore"}) CHECK(report[side][key] == info[key]);
    CHECK(report[side]["file_bytes"] == fs::file_size(file));
    CHECK(report[side]["latency_ms"]["min"] > 0.0);
    CHECK(report[side]["latency_ms"]["median"] >= report[side]["latency_ms"]["min"]);
    CHECK_FALSE(report[side].contains("top1"));
  }
  // A neuron has 24 weights in, a bias and 24 weights out. A token uses each weight once.
  const auto difference = [&](const char* key) {
    return report["dense"][key].get<Index>() - report["pruned"][key].get<Index>();
  };
  CHECK(difference("parameters") == 48 * (24 + 1 + 24));
  CHECK(difference("macs") == 48 * 17 * (24 + 24));
  CHECK(difference("macs_fvcore") == 48 * 17 * (24 + 24));
  for (const char* part : {"variance kept", "parameters", "MACs", "file, bytes", "latency, ms", "-20.3 %",
                           "48 of 96 neurons removed"}) {
    CHECK(contains(text, part));
  }

  // The file contains the configuration.
  require_tool("info", at.out, "--json", at / "info.json");
  const json info = read_json(at / "info.json");
  CHECK(info["unresolved"].empty());
  for (std::size_t i = 0; i < 2; ++i) CHECK(info["blocks"][i]["width"] == report["blocks"][i]["width_after"]);
}

TEST_CASE("calibrating while pruning and pruning by the calibration's file are the same", "[prune]") {
  Calibrated at;
  at.prune("--rate", "0.5", "--threads", "1");
  const json by_file = read_json(at.report);
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--method", "vbp", "--out",
               at / "direct.safetensors", "--json", at.report, "--threads", "3");
  const json direct = read_json(at.report);
  CHECK(direct["blocks"] == by_file["blocks"]);
  CHECK(direct["calibration_images"] == 26);
  CHECK(read_text(at / "direct.safetensors") == read_text(at.out));

  require_tool("calibrate", at.model, "--data", at.data, "--limit", "5", "--out", at.statistics);
  at.prune("--rate", "0.5");
  require_tool("prune", at.model, "--calibrate", at.data, "--limit", "5", "--rate", "0.5", "--method", "vbp",
               "--out", at / "direct.safetensors", "--json", at.report);
  CHECK(read_json(at.report)["calibration_images"] == 5);
  CHECK(read_text(at / "direct.safetensors") == read_text(at.out));
}

TEST_CASE("prune keeps a share of the MACs or of the parameters", "[prune]") {
  Calibrated at;
  const auto check = [&](const char* option, const char* key, const char* of, Index per_neuron) {
    const std::string text = require_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out,
                                          "--json", at.report, option, "0.8");
    const json report = read_json(at.report);
    const Index dense = report["dense"][key], pruned = report["pruned"][key];
    // With one neuron more the share would be too large.
    CHECK(5 * pruned <= 4 * dense);
    CHECK(5 * (pruned + per_neuron) > 4 * dense);
    CHECK(dense - pruned == per_neuron * report["removed"].get<Index>());
    CHECK(report["requested"] == report["removed"]);
    CHECK(report["budget"]["of"] == of);
    CHECK(report["budget"]["share"] == 0.8);
    CHECK(report["budget"]["reached"] == Approx(static_cast<double>(pruned) / static_cast<double>(dense)));
    CHECK(contains(text, std::string("% of the ") + of + " left, at most 80.00 % asked for"));
    const Widths widths = widths_of(at.report);
    CHECK(at.prune("--keep", std::to_string(widths[0] + widths[1])) == widths);
    CHECK_FALSE(read_json(at.report).contains("budget"));
  };
  check("--macs", "macs", "MACs", 17 * (24 + 24));
  check("--parameters", "parameters", "parameters", 24 + 1 + 24);
  CHECK(at.prune("--macs", "1") == Widths{48, 48});
  const Widths eighths = at.prune("--macs", "0.8", "--multiple-of", "8", "--scope", "block");
  CHECK(eighths[0] % 8 + eighths[1] % 8 == 0);
  CHECK(read_json(at.report)["budget"]["reached"] <= 0.8);
}

TEST_CASE("prune keeps to the constraints", "[prune]") {
  Calibrated at;
  const Widths free = at.prune("--rate", "0.5");
  CHECK(free[0] + free[1] == 48);
  REQUIRE(free[0] > free[1]);
  CHECK(at.prune("--keep", "48") == free);
  CHECK(at.prune("--rate", "0") == Widths{48, 48});
  CHECK(at.prune("--rate", "0.5", "--scope", "block") == Widths{24, 24});
  // The default least width of 16 does not limit this yet.
  REQUIRE(free[1] > 16);
  CHECK(at.prune("--rate", "0.5", "--min-width", "20") == Widths{28, 20});
  CHECK(at.prune("--rate", "0.5", "--max-width", "26") == Widths{26, 22});
  CHECK(at.prune("--rate", "0.25", "--exclude", "blocks.1") == Widths{24, 48});
  CHECK(at.prune("--rate", "0", "--exclude", "blocks.0", "--exclude", "blocks.1") == Widths{48, 48});
  const Widths rounded = at.prune("--rate", "0.5", "--multiple-of", "8");
  CHECK(rounded[0] + rounded[1] == 48);
  CHECK((rounded[0] % 8 == 0 && rounded[1] % 8 == 0));
  CHECK(at.prune("--rate", "0.9", "--min-width", "1")[1] < 16);

  // The output says what the multiple does not allow: of 43 asked for, 40 go.
  const std::string text = require_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out,
                                        "--rate", "0.45", "--multiple-of", "8", "--json", at.report);
  CHECK(read_json(at.report)["requested"] == 43);
  CHECK(read_json(at.report)["removed"] == 40);
  CHECK(contains(text, "40 of 96 neurons removed (43 asked for; a width multiple of 8 allows no more)"));
}

TEST_CASE("prune evaluates before and after", "[prune]") {
  const Workplace at;
  answer_always(at.model, 3);
  fs::rename(at.data / "class 0", at / "calibration");
  const std::string text = require_tool("prune", at.model, "--calibrate", at / "calibration", "--rate", "0.5",
                                        "--out", at / "p", "--evaluate", at.data, "--json", at / "p.json");
  json report = read_json(at / "p.json");
  for (const char* side : {"dense", "pruned"}) {
    // Four of the 22 images that are left are of class 3.
    CHECK(report[side]["images"] == 22);
    CHECK(report[side]["top1"] == Approx(4.0 / 22.0));
    CHECK(report[side]["images_per_second"] > 0.0);
  }
  CHECK(contains(text, "top-1, %"));
  CHECK(contains(text, "18.18"));

  require_tool("prune", at.model, "--calibrate", at / "calibration", "--rate", "0.5", "--out", at / "p",
               "--evaluate", at.data, "--evaluate-limit", "8", "--json", at / "p.json");
  report = read_json(at / "p.json");
  // One image of each of six classes, and a second one of two of them.
  CHECK(report["pruned"]["images"] == 8);
  CHECK(report["pruned"]["top1"] == Approx(1.0 / 8.0));
}

TEST_CASE("prune does not evaluate on the images that it calibrates on", "[prune]") {
  const Workplace at;
  fs::rename(at.data / "class 0", at / "calibration");
  fs::create_directory(at.data / "class 0");
  const fs::path copy = at.data / "class 0" / "another name.png";
  require_tool("calibrate", at.model, "--data", at / "calibration", "--out", at / "stats");
  const auto by_folder = [&] {
    return run_tool("prune", at.model, "--calibrate", at / "calibration", "--rate", "0.5", "--out", at / "p",
                    "--evaluate", at.data);
  };
  const auto by_file = [&] {
    return run_tool("prune", at.model, "--statistics", at / "stats", "--rate", "0.5", "--out", at / "p",
                    "--evaluate", at.data);
  };
  fs::copy_file(kGolden / "images" / "jpeg_420.jpg", copy);
  check_refusal(by_folder(), 1, {copy.string() + ": is a calibration image too"});
  check_refusal(by_file(), 1, {copy.string() + ": is a calibration image too"});
  CHECK_FALSE(fs::exists(at / "p"));
  fs::remove(copy);
  CHECK(by_folder().code == 0);
  CHECK(by_file().code == 0);
}

TEST_CASE("a pruned Hugging Face model is a file of its own in timm's naming", "[prune]") {
  const Workplace at;
  for (const char* kind : {"vit", "deit_distilled", "dinov2", "dinov2_registers"}) {
    INFO(kind);
    const fs::path out = at / (std::string(kind) + ".safetensors");
    require_tool("prune", kGolden / "hf" / kind / "model.safetensors", "--calibrate", at.data, "--rate",
                 "0.5", "--out", out, "--json", at / "p.json");
    require_tool("info", out, "--json", at / "info.json");
    CHECK(read_json(at / "info.json")["unresolved"].empty());
    CHECK(read_json(at / "info.json")["parameters"] == read_json(at / "p.json")["pruned"]["parameters"]);
    CHECK(RawModel(out).header.contains("blocks.0.attn.qkv.weight"));
  }
}

TEST_CASE("prune counts and names the images that it cannot decode", "[prune]") {
  const Workplace at;
  fs::rename(at.data / "class 0", at / "calibration");
  const fs::path first = at / "calibration" / "broken.jpg", second = at.data / "class 1" / "empty.png";
  write_text(first, "no image");
  write_text(second, "");
  const auto command = [&](const char* option) {
    return run_tool("prune", at.model, "--calibrate", at / "calibration", "--rate", "0.5", "--out", at / "p",
                    "--evaluate", at.data, "--json", at / "p.json", option);
  };
  check_refusal(command("--strict"), 1, {first.string() + ": neither"});
  CHECK_FALSE(fs::exists(at / "p"));
  const Outcome outcome = command("--batch=3");
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "vbp: left out: " + first.string() +
                           ": neither a JPEG nor a PNG image\nvbp: left out: " + second.string() +
                           ": file is empty\n");
  CHECK(read_json(at / "p.json")["failures"].size() == 2);
  fs::remove(first);
  check_refusal(command("--strict"), 1, {second.string() + ": file is empty"});
}
