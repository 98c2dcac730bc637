#include <cmath>
#include <csignal>
#include <string>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

/// A workplace whose pictures are divided between calibration and evaluation.
struct Sweeping : Workplace {
  fs::path calibration = folder / "calibration";
  fs::path report = folder / "sweep.json";

  Sweeping() {
    fs::create_directory(calibration);
    for (const char* name : {"class 0", "class 1", "class 2"}) {
      for (const auto& entry : fs::directory_iterator(data / name)) {
        if (entry.path().filename().string().starts_with("png")) continue;
        fs::rename(entry.path(), calibration / entry.path().filename());
      }
    }
  }

  template <class... Options>
  std::vector<std::string> command(const Options&... options) const {
    return tool_command("sweep", model, "--calibrate", calibration, "--evaluate", data, "--json", report,
                        options...);
  }

  template <class... Options>
  Outcome run(const Options&... options) const {
    return Process(command(options...)).wait();
  }
};

const json& row_of(const json& report, double rate, const std::string& criterion,
                   const std::string& compensation) {
  for (const json& row : report["rows"]) {
    if (row["rate"] == rate && row["criterion"] == criterion && row["compensation"] == compensation)
      return row;
  }
  FAIL(rate << ' ' << criterion << ' ' << compensation);
  return report;
}

}  // namespace

TEST_CASE("a row of a sweep is what prune gives for its rate and method", "[sweep]") {
  const Sweeping at;
  const Outcome outcome = at.run("--rates", "0.5,0.25", "--criteria", "greedy,random", "--compensations",
                                 "mean-shift,sequential-all", "--out", at / "picture.svg");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.empty());
  const json report = read_json(at.report);
  // The dense model and the reference at each rate are there without being asked for.
  REQUIRE(report["rows"].size() == 1 + 2 + 2 * 2 * 2);
  CHECK(report["combinations"] == report["rows"].size());
  CHECK(report["rows"][0]["method"] == "dense");
  CHECK(report["rows"][1]["method"] == "ob2c");
  CHECK(report["rows"][2]["method"] == "ob2c");
  for (const json& row : report["rows"]) {
    if (row["method"] == "dense") continue;
    const std::string rate = row["rate"].dump(), criterion = row["criterion"],
                      compensation = row["compensation"];
    INFO(rate << ' ' << criterion << ' ' << compensation);
    require_tool("prune", at.model, "--calibrate", at.calibration, "--evaluate", at.data, "--rate", rate,
                 "--criterion", criterion, "--compensation", compensation, "--out", at / "pruned", "--json",
                 at / "prune.json");
    const json pruned = read_json(at / "prune.json");
    CHECK(row["top1"] == pruned["pruned"]["top1"]);
    CHECK(row["parameters"] == pruned["pruned"]["parameters"]);
    CHECK(row["macs"] == pruned["pruned"]["macs"]);
    CHECK(row["latency_ms"] > 0.0);
    CHECK(report["rows"][0]["top1"] == pruned["dense"]["top1"]);
    CHECK(report["rows"][0]["parameters"] == pruned["dense"]["parameters"]);
  }
  for (const char* part : {"greedy", "random", "sequential-all", "ob2c", "dense"}) {
    CHECK(contains(outcome.out, part));
  }
  const std::string picture = read_text(at / "picture.svg");
  for (const char* part : {"<svg ", ">mean-shift</text>", ">sequential-all</text>", ">greedy</text>"}) {
    CHECK(contains(picture, part));
  }
}

TEST_CASE("a sweep by snip takes the labels of its calibration images, and says where they are missing",
          "[sweep]") {
  const Workplace at;
  const fs::path labelled = at / "labelled";
  at.deal_one_of_each_class(labelled);
  const auto sweep = [&](const fs::path& calibration) {
    return run_tool("sweep", at.model, "--calibrate", calibration, "--evaluate", at.data, "--rates", "0.5",
                    "--criteria", "snip", "--compensations", "mean-shift", "--json", at / "sweep.json");
  };
  REQUIRE(sweep(labelled).code == 0);
  require_tool("prune", at.model, "--calibrate", labelled, "--evaluate", at.data, "--rate", "0.5",
               "--criterion", "snip", "--compensation", "mean-shift", "--out", at / "pruned", "--json",
               at / "prune.json");
  const json report = read_json(at / "sweep.json");
  CHECK(row_of(report, 0.5, "snip", "mean-shift")["top1"] == read_json(at / "prune.json")["pruned"]["top1"]);
  check_refusal(sweep(labelled / "class 0"), 1, {"one sub-folder a class"});
}

TEST_CASE("the standard error of a row is that of its difference to the reference, image by image",
          "[sweep]") {
  const Sweeping at;
  REQUIRE(at.run("--rates", "0.6", "--criteria", "variance,magnitude,random", "--compensations", "none,refit")
              .code == 0);
  const json report = read_json(at.report);
  const auto images = static_cast<double>(report["evaluation_images"].get<int>());
  bool differ = false;
  for (const json& row : report["rows"]) {
    const json& reference = row["method"] == "dense" ? row : row_of(report, 0.6, "variance", "refit");
    const std::string hits = row["hits"], other = reference["hits"];
    REQUIRE(hits.size() == report["evaluation_images"]);
    // Computed from the numbers of images that only one of the two classifies correctly.
    double gained = 0.0, lost = 0.0, correct = 0.0;
    for (std::size_t i = 0; i < hits.size(); ++i) {
      gained += hits[i] > other[i] ? 1.0 : 0.0;
      lost += hits[i] < other[i] ? 1.0 : 0.0;
      correct += hits[i] == '1' ? 1.0 : 0.0;
    }
    differ = differ || gained + lost > 0.0;
    const double variance = (gained + lost - (gained - lost) * (gained - lost) / images) / (images - 1.0);
    // The tolerance is a few roundings of numbers up to one.
    CHECK(row["standard_error"] == Approx(std::sqrt(variance / images)).margin(1e-14));
    CHECK(row["difference"] == Approx((gained - lost) / images).margin(1e-14));
    CHECK(row["top1"] == Approx(correct / images));
    const double wrong = images - correct;
    CHECK(row["top1_standard_error"] == Approx(std::sqrt(correct * wrong / images) / images).margin(1e-14));
    CHECK(row["reference"] == (row["method"] == "dense" ? "dense" : "ob2c"));
  }
  CHECK(differ);
}

TEST_CASE("an interrupted sweep goes on from its rows and ends as an unbroken one", "[sweep]") {
  const Sweeping at;
  const std::vector<std::string> slow{"--rates",         "0.5,0.3",    "--criteria",     "variance,random",
                                      "--compensations", "none,refit", "--batch",        "1",
                                      "--threads",       "1",          "--image-size=96"};
  const auto command = [&](const fs::path& report, const std::vector<std::string>& more = {}) {
    auto arguments = tool_command("sweep", at.model, "--calibrate", at.calibration, "--evaluate", at.data,
                                  "--json", report);
    arguments.insert(arguments.end(), slow.begin(), slow.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  Process process(command(at.report), {.terminal = true});
  process.wait_for("row 4 of 9, evaluating");
  process.send(SIGINT);
  const Outcome interrupted = process.wait();
  CHECK(interrupted.code == 130);
  CHECK(contains(interrupted.err, "--resume goes on from there"));
  json begun = read_json(at.report);
  REQUIRE(begun["rows"].size() >= 3);
  REQUIRE(begun["rows"].size() < 9);

  // A row that exists is not measured again: this value would change.
  const std::string hits = begun["rows"][1]["hits"];
  begun["rows"][1]["parameters"] = 7;
  write_text(at.report, begun.dump());
  REQUIRE(Process(command(at.report, {"--resume"})).wait().code == 0);
  REQUIRE(Process(command(at / "whole.json", {"--resume"})).wait().code == 0);
  json resumed = read_json(at.report), whole = read_json(at / "whole.json");
  CHECK(resumed["rows"][1]["parameters"] == 7);
  resumed["rows"][1]["parameters"] = whole["rows"][1]["parameters"];
  CHECK(without_times(resumed) == without_times(whole));

  // All rows exist: nothing is left to do, and the report stays the same.
  const Outcome again = Process(command(at / "whole.json", {"--resume"})).wait();
  CHECK(again.code == 0);
  CHECK(read_json(at / "whole.json") == whole);
}

TEST_CASE("a sweep goes on with other rates, criteria and compensations", "[sweep]") {
  const Sweeping at;
  REQUIRE(at.run("--rates", "0.5", "--criteria", "variance,random", "--compensations", "none").code == 0);
  // A row that exists is not measured again: this value would change.
  json begun = read_json(at.report);
  begun["rows"][2]["parameters"] = 7;
  write_text(at.report, begun.dump());
  const auto wider = [&](const fs::path& report) {
    require_tool("sweep", at.model, "--calibrate", at.calibration, "--evaluate", at.data, "--resume",
                 "--json", report, "--rates", "0.3,0.5", "--criteria", "variance", "--compensations",
                 "none,mean-shift");
    return read_json(report);
  };
  const json grown = without_times(wider(at.report)), whole = without_times(wider(at / "whole.json"));
  // The dense model, two references, two rates by two compensations, and rows that only the first run had.
  REQUIRE(whole["rows"].size() == 7);
  REQUIRE(grown["rows"].size() == 8);
  CHECK(grown["combinations"] == 8);
  const json before = without_times(begun);
  for (std::size_t i = 0; i < before["rows"].size(); ++i) CHECK(grown["rows"][i] == before["rows"][i]);
  for (const json& row : whole["rows"]) {
    json same = row_of(grown, row["rate"], row["criterion"], row["compensation"]);
    if (same["parameters"] == 7) same["parameters"] = row["parameters"];
    CHECK(same == row);
  }
}

TEST_CASE("a sweep is not continued with other images, models or options", "[sweep]") {
  const Sweeping at;
  REQUIRE(at.run("--rates", "0.5", "--criteria", "variance", "--compensations", "none").code == 0);
  const auto refused = [&](const std::string& setting, const auto&... options) {
    const auto before = snapshot(at.folder.path());
    check_refusal(at.run("--resume", options...), 1, {at.report.string(), "\"" + setting + "\"", "--resume"});
    CHECK(snapshot(at.folder.path()) == before);
  };
  refused("batch", "--rates", "0.5", "--criteria", "variance", "--compensations", "none", "--batch", "3");
  refused("threads", "--rates", "0.5", "--criteria", "variance", "--compensations", "none", "--threads", "7");
  refused("calibration", "--rates", "0.5", "--criteria", "variance", "--compensations", "none", "--limit",
          "2");
  refused("evaluation", "--rates", "0.5", "--criteria", "variance", "--compensations", "none",
          "--evaluate-limit", "5");
  refused("model", "--rates", "0.5", "--criteria", "variance", "--compensations", "none", "--image-size",
          "32");

  const json report = read_json(at.report);
  const auto damaged = [&](const std::string& text) {
    write_text(at.report, text);
    check_refusal(at.run("--resume", "--rates", "0.5", "--criteria", "variance", "--compensations", "none"),
                  1, {at.report.string(), "is no report of vbp sweep"});
    CHECK(read_text(at.report) == text);
  };
  damaged("no JSON");
  damaged("[]");
  damaged(R"({"settings": {}, "rows": []})");
  for (const char* hits : {"", "0101", "222222222222222222"}) {
    json changed = report;
    changed["rows"][1]["hits"] = hits;
    damaged(changed.dump());
  }
  json changed = report;
  changed["rows"].erase(1);  // the reference
  damaged(changed.dump());
  changed = report;
  changed["rows"][2]["latency_ms"] = 0.0;
  damaged(changed.dump());
}

TEST_CASE("a rate that the widths forbid is left out, and said", "[sweep]") {
  const Sweeping at;
  const Outcome outcome = at.run("--rates", "0.5,0.9", "--criteria", "variance", "--compensations", "refit");
  CHECK(outcome.code == 0);
  CHECK(outcome.err.starts_with("vbp: left out: rate 0.9: "));
  const json report = read_json(at.report);
  CHECK(report["rows"].size() == 2);
  REQUIRE(report["skipped"].size() == 1);
  CHECK(report["skipped"][0]["rate"] == 0.9);
  CHECK(contains(report["skipped"][0]["reason"], "minimum width"));
  // It names what is asked for now, not what was asked for before.
  const Outcome alone =
      run_tool("sweep", at.model, "--calibrate", at.calibration, "--evaluate", at.data, "--rates", "0.95");
  CHECK_FALSE(contains(alone.err, report["skipped"][0]["reason"].get<std::string>()));
  const Outcome further = at.run("--resume", "--rates", "0.95");
  CHECK(further.code == 1);
  CHECK(further.err == alone.err);
  CHECK(read_json(at.report) == report);
  fs::remove(at.report);
  check_refusal(at.run("--rates", "0.9"), 1, {"minimum width"});
  CHECK_FALSE(fs::exists(at.report));
}

TEST_CASE("what cannot be swept is refused before any work", "[sweep]") {
  const Sweeping at;
  const fs::path image = fs::directory_iterator(at.calibration)->path();
  const auto before = snapshot(at.folder.path());
  const auto sweep = [&](const fs::path& calibrate, const fs::path& evaluate, const auto&... options) {
    return run_tool("sweep", at.model, "--calibrate", calibrate, "--evaluate", evaluate, options...);
  };
  check_refusal(run_tool("sweep", at.model, "--calibrate", at.calibration), 2, {"--evaluate is required"});
  check_refusal(run_tool("sweep", at.model, "--evaluate", at.data), 2, {"--calibrate is required"});
  check_refusal(sweep(at / "none", at.data), 1, {(at / "none").string(), "no such folder"});
  check_refusal(sweep(at.calibration, at / "none"), 1, {(at / "none").string(), "no such folder"});
  check_refusal(sweep(at.data, at.data), 1, {"is a calibration image too"});
  check_refusal(at.run("--criteria", "variance,magic"), 2, {"--criteria", "magic"});
  check_refusal(at.run("--compensations", "prayer"), 2, {"--compensations", "prayer"});
  check_refusal(at.run("--rates", "half"), 2, {"--rates", "half"});
  check_refusal(at.run("--rates", "0.5,20"), 1, {"rate 20 is outside [0, 1)"});
  check_refusal(sweep(at.calibration, at.data, "--resume"), 2, {"--resume needs --json"});
  check_refusal(at.run("--out", at.report), 1, {"--out and --json"});
  check_refusal(at.run("--out", at.model), 1, {at.model.string(), "would overwrite"});
  check_refusal(at.run("--out", image), 1, {image.string(), "would overwrite"});
  check_refusal(sweep(at.calibration, at.data, "--json", at.model), 1,
                {at.model.string(), "would overwrite"});
  check_refusal(at.run("--out", at / "none" / "picture.svg"), 1, {"its folder does not exist"});
  CHECK(snapshot(at.folder.path()) == before);
}
