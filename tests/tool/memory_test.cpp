#include <cstdint>
#include <string>

#include "support/plain_vit.hpp"
#include "tool.hpp"
#include "vbp/io/calibration_file.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/prune/compensate/sequential.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

constexpr Index kDepth = 30, kHidden = 40, kDim = 12, kImages = 26;

/// A model of many small blocks, so that a memory limit can hold some of them but not all.
struct Deep : Workplace {
  fs::path deep = folder / "deep.safetensors";
  vbp::VitConfig config;

  Deep() {
    config.architecture = "deep";
    config.image_size = 32;
    config.dim = kDim;
    config.heads = 2;
    config.hidden_widths.assign(kDepth, kHidden);
    config.classes = 7;
    vbp::VitCheckpoint checkpoint;
    checkpoint.model = random_vit<float>(config, 1);
    checkpoint.preprocessing.image_size = 32;
    vbp::save_checkpoint(deep, checkpoint);
  }

  static std::int64_t block_bytes() { return vbp::Covariance<float>::bytes(kHidden); }
  static std::int64_t work_bytes() { return vbp::step_bytes(kHidden, kDim); }
  std::int64_t stream_bytes() const { return 4 * vbp::stream_bytes(kImages * config.tokens(), kDim); }

  /// Returns the report; the model is in `out`.
  template <class... Options>
  json prune(const fs::path& out, const Options&... options) const {
    require_tool("prune", deep, "--calibrate", data, "--rate", "0.5", "--out", out, "--json",
                 folder / "report.json", options...);
    return read_json(folder / "report.json");
  }
};

}  // namespace

TEST_CASE("prune gives the same model whatever stays in memory", "[memory]") {
  const Deep at;
  const auto out = at / "out";
  CHECK_FALSE(at.prune(out).contains("memory"));
  const std::string expected = read_text(out);
  const auto prune = [&](std::int64_t limit, const char* threads) {
    const json memory = at.prune(out, "--memory", std::to_string(limit), "--threads", threads)["memory"];
    CHECK(memory["limit"] == limit);
    CHECK(read_text(out) == expected);
    return memory;
  };
  const auto before = snapshot(at.folder.path()).size();
  const std::int64_t all = kDepth * Deep::block_bytes() + Deep::work_bytes();

  const json roomy = prune(all + at.stream_bytes(), "2");
  CHECK(roomy["passes"] == 1);
  CHECK(roomy["bytes_in_files"] == 0);
  const json streams = prune(all + at.stream_bytes() - 1, "1");
  CHECK(streams["passes"] == 1);
  CHECK(streams["bytes_in_files"] == at.stream_bytes());
  const json least = prune(Deep::block_bytes() + Deep::work_bytes(), "2");
  const std::int64_t at_a_time = 1 + Deep::work_bytes() / Deep::block_bytes();
  CHECK(least["passes"] == (kDepth + at_a_time - 1) / at_a_time);
  CHECK(least["passes"] > 2);
  CHECK(least["bytes_in_files"] > kDepth * Deep::block_bytes() + at.stream_bytes());
  CHECK(snapshot(at.folder.path()).size() == before);
}

TEST_CASE("prune reads a file's covariances one by one where memory is limited", "[memory]") {
  const Deep at;
  const fs::path statistics = at / "statistics", out = at / "out", report = at / "report.json";
  require_tool("calibrate", at.deep, "--data", at.data, "--covariance", "--out", statistics);
  const auto command = [&](auto... options) {
    return tool_command("prune", at.deep, "--statistics", statistics, "--rate", "0.5", "--out", out, "--json",
                        report, options...);
  };
  REQUIRE(Process(command()).wait().code == 0);
  const std::string expected = read_text(out);
  const std::int64_t least = Deep::block_bytes() + Deep::work_bytes();
  REQUIRE(Process(command("--memory", std::to_string(least))).wait().code == 0);
  CHECK(read_text(out) == expected);
  const json memory = read_json(report)["memory"];
  CHECK(memory["limit"] == least);
  CHECK(memory["passes"] == 0);
  CHECK(memory["bytes_in_files"] > kDepth * Deep::block_bytes());
  check_refusal(Process(command("--memory", std::to_string(least - 1))).wait(), 2,
                {"--memory: one block and the work on it take 191,328 bytes"});
}

TEST_CASE("calibrate writes the same file whatever stays in memory", "[memory][calibrate]") {
  const Deep at;
  const auto calibrate = [&](const fs::path& data, const fs::path& out, auto... options) {
    require_tool("calibrate", at.deep, "--data", data, "--covariance", "--batch", "4", "--out", out, "--json",
                 at / "report.json", options...);
    return read_json(at / "report.json");
  };
  CHECK_FALSE(calibrate(at.data, at / "whole").contains("memory"));
  const std::string whole = read_text(at / "whole");
  // The first two batches of the complete run.
  fs::create_directory(at / "begin");
  for (const char* name : {"class 0", "class 1"})
    fs::create_directory_symlink(at.data / name, at / "begin" / name);
  calibrate(at / "begin", at / "begun");
  fs::copy_file(at / "begun", at / "out");
  const auto before = snapshot(at.folder.path()).size();

  const std::int64_t all = kDepth * Deep::block_bytes();
  for (const auto& [limit, passes] :
       {std::pair(all, 1), std::pair(all - 1, 2), std::pair(7 * Deep::block_bytes(), 5),
        std::pair(Deep::block_bytes(), static_cast<int>(kDepth))}) {
    // Copies, because clang 14 cannot capture structured bindings.
    const auto check = [&, limit = limit, passes = passes](const json& report) {
      INFO("limit " << limit);
      CHECK(read_text(at / "out") == whole);
      CHECK(report["moments"] == "variance,covariance");
      CHECK(report["images"] == kImages);
      CHECK(report["memory"]["limit"] == limit);
      CHECK(report["memory"]["passes"] == passes);
      CHECK((report["memory"]["bytes_in_files"] >= all) == (passes > 1));
    };
    check(calibrate(at.data, at / "out", "--memory", std::to_string(limit), "--threads", "2"));
    fs::copy_file(at / "begun", at / "out", fs::copy_options::overwrite_existing);
    check(calibrate(at.data, at / "out", "--memory", std::to_string(limit), "--threads", "1", "--resume"));
  }
  CHECK(snapshot(at.folder.path()).size() == before);
}

TEST_CASE("memory is limited for covariances only, and not below one of them", "[memory][calibrate]") {
  const Deep at;
  const auto before = snapshot(at.folder.path());
  check_refusal(run_tool("calibrate", at.deep, "--data", at.data, "--out", at / "out", "--covariance",
                         "--memory", std::to_string(Deep::block_bytes() - 1)),
                2, {"--memory: one block takes 13,280 bytes, more than the 13,279 allowed"});
  check_refusal(run_tool("calibrate", at.deep, "--data", at.data, "--out", at / "out", "--memory", "1GB"), 2,
                {"--memory", "--covariance"});
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("a sweep gives the same rows whatever stays in memory", "[memory]") {
  const Deep at;
  const fs::path evaluation = at / "evaluation";
  at.deal_one_of_each_class(evaluation);
  const auto rows = [&](auto... options) {
    require_tool("sweep", at.deep, "--calibrate", at.data, "--evaluate", evaluation, "--rates", "0.5",
                 "--criteria", "greedy", "--compensations", "refit,sequential", "--json", at / "sweep.json",
                 options...);
    return without_times(read_json(at / "sweep.json"))["rows"];
  };
  CHECK(rows("--memory", "200000") == rows());
}

TEST_CASE("memory that one block does not fit is refused, with what it takes", "[memory]") {
  const Deep at;
  const auto before = snapshot(at.folder.path());
  const std::int64_t least = Deep::block_bytes() + Deep::work_bytes();
  const auto refused = [&](const std::string& limit, std::initializer_list<std::string> parts) {
    check_refusal(run_tool("prune", at.deep, "--calibrate", at.data, "--rate", "0.5", "--out", at / "out",
                           "--memory", limit),
                  2, parts);
    CHECK(snapshot(at.folder.path()) == before);
  };
  refused(std::to_string(least - 1), {"--memory", "191,328"});
  refused("much", {"--memory", "much"});
  refused("-1", {"--memory"});
}
