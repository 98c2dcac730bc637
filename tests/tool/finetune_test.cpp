#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/models/vit/checkpoint.hpp"

namespace {

using namespace vbp_test;

/// A workplace with a pruned student; the golden pictures are its training data.
struct Finetuning : Workplace {
  fs::path student = folder / "student.safetensors";
  fs::path out = folder / "tuned.safetensors";
  fs::path state = folder / "tuned.state";
  fs::path log = folder / "tuned.jsonl";
  fs::path curve = folder / "tuned.svg";

  Finetuning() { require_tool("prune", model, "--calibrate", data, "--rate", "0.5", "--out", student); }

  template <class... Options>
  std::vector<std::string> command(const Options&... options) const {
    return tool_command("finetune", student, "--teacher", model, "--data", data, "--out", out, "--batch", "5",
                        "--mixup", "0.5", "--average", "0.9", options...);
  }

  template <class... Options>
  Outcome run(const Options&... options) const {
    return Process(command(options...)).wait();
  }
};

/// The lines of one kind in a log.
std::vector<json> lines_of(const fs::path& log, const std::string& kind) {
  std::vector<json> lines;
  std::istringstream text(read_text(log));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(json::parse(line));
    if (lines.back()["kind"] != kind) lines.pop_back();
  }
  return lines;
}

vbp::VitCheckpoint load(const fs::path& file) {
  return vbp::load_checkpoint<vbp::VisionTransformer<float>>(file);
}

}  // namespace

TEST_CASE("finetune writes the model, a log and a picture, and leaves no state", "[finetune]") {
  Finetuning at;
  const Outcome outcome = at.run("--epochs", "3", "--lr", "1e-3", "--json", at / "report.json");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  CHECK(contains(outcome.out, "epoch 3: loss "));
  CHECK_FALSE(fs::exists(at.state));
  const auto student = load(at.student), tuned = load(at.out);
  CHECK(tuned.model.config.hidden_widths == student.model.config.hidden_widths);
  CHECK(tuned.class_names == student.class_names);
  CHECK(vbp::fingerprint(tuned.model) != vbp::fingerprint(student.model));
  // 26 images in batches of 5 are 6 steps.
  const auto steps = lines_of(at.log, "step"), epochs = lines_of(at.log, "epoch");
  REQUIRE(steps.size() == 18);
  REQUIRE(epochs.size() == 3);
  // Half an epoch of warm-up by default.
  CHECK(steps[0]["lr"].get<double>() == Approx(1e-3 / 3.0));
  CHECK(steps[2]["lr"] == 1e-3);
  CHECK(steps[17]["epoch"] == 3);
  CHECK(steps[17]["step"] == 6);
  CHECK(epochs[2]["loss"].get<double>() < epochs[0]["loss"].get<double>());
  CHECK(contains(read_text(at.curve), "<svg"));
  const json report = read_json(at / "report.json");
  CHECK(report["images"] == 26);
  CHECK(report["last_epoch"]["epoch"] == 3);
  CHECK(report["settings"]["lr"] == 1e-3);
}

TEST_CASE("a run that was interrupted and resumed ends with the bits of an unbroken one", "[finetune]") {
  Finetuning at;
  REQUIRE(at.run("--epochs", "60").code == 0);
  const std::string expected = read_text(at.out);
  const std::string curve = read_text(at.curve);
  const auto losses = lines_of(at.log, "step");
  fs::remove(at.out);

  Process process(at.command("--epochs", "60", "--threads", "1"));
  // After the first steps, and well before the last of 360.
  while (!fs::exists(at.out)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  process.send(SIGINT);
  const Outcome outcome = process.wait();
  INFO(outcome.err);
  REQUIRE(outcome.code == 130);
  CHECK(contains(outcome.err, "--resume"));
  REQUIRE(fs::exists(at.state));
  // A new run would lose it; other options would make it another run.
  check_refusal(at.run("--epochs", "60"), 1, {"tuned.state", "--resume"});
  check_refusal(at.run("--epochs", "60", "--lr", "0.1", "--resume"), 1, {"tuned.state", "lr"});
  // Lines that a crash has left behind the last saved state are cut off.
  std::ofstream(at.log, std::ios::app) << "{\"kind\":\"step\"";
  REQUIRE(at.run("--epochs", "60", "--resume").code == 0);
  CHECK(read_text(at.out) == expected);
  CHECK(read_text(at.curve) == curve);
  CHECK(lines_of(at.log, "step") == losses);
  CHECK_FALSE(fs::exists(at.state));
  check_refusal(at.run("--epochs", "60", "--resume"), 1, {"tuned.state", "no run"});
}

TEST_CASE("a run that diverges stops with the reason and keeps the last good epoch", "[finetune]") {
  Finetuning at;
  const Outcome outcome = run_tool("finetune", at.student, "--data", at.data, "--out", at.out, "--batch",
                                   "26", "--epochs", "50", "--lr", "1e30");
  CHECK(outcome.code == 1);
  // An epoch is one step. The first one had a finite gradient, and its weights were written.
  CHECK(contains(outcome.err, "diverged: in epoch 2, step 1"));
  CHECK_NOTHROW(load(at.out).model.validate());
}

TEST_CASE("validation is reported, and images must not serve for both", "[finetune]") {
  Finetuning at;
  const fs::path training = at / "training";
  fs::copy(at.data, training, fs::copy_options::recursive);
  check_refusal(at.run("--validate", training), 1, {"validation image too"});
  CHECK_FALSE(fs::exists(at.out));
  // Four classes to train on, three to validate on.
  for (int i = 0; i < 7; ++i) fs::remove_all((i < 4 ? training : at.data) / ("class " + std::to_string(i)));
  const Outcome outcome = at.run("--epochs", "1", "--validate", training);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(contains(outcome.out, "validation"));
  CHECK(lines_of(at.log, "epoch").at(0).contains("validation_top1"));
}

TEST_CASE("the memory of a run is stated without running it", "[finetune]") {
  Finetuning at;
  const auto before = snapshot(at.folder.path());
  const Outcome outcome = at.run("--memory");
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.out, "recomputed"));
  CHECK(snapshot(at.folder.path()) == before);
  require_tool("finetune", at.student, "--data", at.data, "--out", at.out, "--memory", "--json",
               at / "m.json");
  const json report = read_json(at / "m.json");
  CHECK(report["activation_bytes"]["recomputed"].get<double>() <
        report["activation_bytes"]["kept"].get<double>());
}

TEST_CASE("recomputed activations give the bits of kept ones", "[finetune]") {
  Finetuning at;
  REQUIRE(at.run("--epochs", "2").code == 0);
  const std::string kept = read_text(at.out);
  REQUIRE(at.run("--epochs", "2", "--recompute", "--threads", "1").code == 0);
  CHECK(read_text(at.out) == kept);
}

TEST_CASE("what cannot be fine-tuned is refused and nothing is written", "[finetune]") {
  Finetuning at;
  const auto before = snapshot(at.folder.path());
  check_refusal(run_tool("finetune", at.student, "--data", at.data, "--out", at.student), 1, {"overwrite"});
  check_refusal(run_tool("finetune", at.student, "--data", at.data, "--out", at.out, "--beta", "1"), 2,
                {"--teacher"});
  check_refusal(at.run("--log", at.out), 1, {"written twice"});
  check_refusal(at.run("--lr", "-1"), 1, {"learning rate"});
  check_refusal(run_tool("finetune", at.student, "--data", at.data, "--out", at.out, "--mixup", "-1"), 1,
                {"mixup"});
  check_refusal(at.run("--flip", "1.5"), 1, {"probability"});
  check_refusal(at.run("--temperature", "0"), 1, {"temperature"});
  check_refusal(at.run("--epochs", "0"), 2, {"--epochs"});
  check_refusal(at.run("--targets", "warm"), 2, {"--targets"});
  check_refusal(at.run("--validate-limit", "3"), 2, {"--validate"});
  check_refusal(at.run("--resume"), 1, {"tuned.state"});
  check_refusal(run_tool("finetune", at.student, "--teacher", kGolden / "vit" / "one_channel.safetensors",
                         "--data", at.data, "--out", at.out),
                1, {"one_channel"});
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("train makes a model from nothing that eval can use", "[train]") {
  Workplace at;
  write_text(at / "net.json",
             R"({"architecture": "tiny", "image_size": 16, "patch_size": 8, "dim": 12, "depth": 2,
    "num_heads": 2, "crop_pct": 1.0})");
  const fs::path out = at / "trained.safetensors";
  const std::string text =
      require_tool("train", "--config", at / "net.json", "--data", at.data, "--out", out, "--epochs", "20",
                   "--warmup", "1", "--batch", "13", "--set", "dim=16");
  CHECK(contains(text, "epoch 20"));
  const auto trained = load(out);
  CHECK_NOTHROW(trained.require_complete());
  CHECK(trained.model.config.dim == 16);
  CHECK(trained.model.config.classes == 7);
  CHECK(trained.class_names.at(6) == "class 6");
  CHECK(contains(require_tool("eval", out, "--data", at.data), "top-1"));
  check_refusal(run_tool("train", "--config", at / "none.json", "--data", at.data, "--out", out), 1,
                {"none.json"});
  check_refusal(
      run_tool("train", "--config", at / "net.json", "--data", at.data, "--out", out, "--set", "widths=3"), 1,
      {"widths"});
  check_refusal(run_tool("train", "--data", at.data, "--out", out), 2, {"--config"});
}
