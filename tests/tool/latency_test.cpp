#include <cstdlib>
#include <string>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

/// A workplace with statistics and a cache of its own.
struct Cached : Workplace {
  fs::path statistics = folder / "statistics";
  fs::path cache = folder / "cache";
  fs::path out = folder / "pruned";
  fs::path report = folder / "report";

  Cached() {
    ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
    require_tool("calibrate", model, "--data", data, "--out", statistics);
  }
  ~Cached() { ::unsetenv("XDG_CACHE_HOME"); }
  Cached(const Cached&) = delete;
  Cached& operator=(const Cached&) = delete;

  json prune(const std::string& latency, std::vector<std::string> more = {}) const {
    std::vector<std::string> command = tool_command("prune", model, "--statistics", statistics, "--out", out,
                                                    "--json", report, "--threads", "1", "--latency", latency);
    command.insert(command.end(), more.begin(), more.end());
    const Outcome outcome = Process(command).wait();
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.err.empty());
    CHECK(contains(outcome.out, "latency, ms (predicted)"));
    return read_json(report);
  }

  std::vector<fs::path> tables() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(cache / "vbp")) paths.push_back(entry.path());
    return paths;
  }

  /// Has the table say that time grows evenly from width to width, or not at all.
  void set_times(double step) const {
    REQUIRE(tables().size() == 1);
    json table = read_json(tables()[0]);
    double time = 1.0;
    for (json& entry : table["times"]) {
      entry = time;
      time += step;
    }
    write_text(tables()[0], table.dump());
  }
};

}  // namespace

TEST_CASE("prune meets a latency by the table of times of this machine", "[latency]") {
  const Cached at;
  // Everything may stay, whatever the times are: dense is 1 by definition.
  json report = at.prune("1");
  CHECK(report["removed"] == 0);
  CHECK(report["budget"]["of"] == "latency");
  CHECK(report["budget"]["share"] == 1.0);
  CHECK(report["budget"]["reached"] == Approx(1.0));

  // Dense is 48 wide: with a panel of 16 the table has 16, 32, 48 and with one of 32 it has 32 and 64.
  at.set_times(1.0);
  report = at.prune("0.7");
  CHECK(report["budget"]["reached"] == Approx(2.0 / 3.0));
  Index kept = 0;
  for (const json& block : report["blocks"]) {
    kept += block["width_after"].get<Index>();
    CHECK(block["width_after"].get<Index>() % 16 == 0);
  }
  CHECK(kept == 64);
  CHECK(report["requested"] == report["removed"]);
  CHECK(report["latency_ms"]["predicted"] > 0.0);
  CHECK(report["latency_ms"]["measured"] == report["pruned"]["latency_ms"]["median"]);
  const std::string first = read_text(at.out);
  CHECK(at.prune("0.7")["blocks"] == report["blocks"]);
  CHECK(read_text(at.out) == first);
  CHECK(at.prune("0.7", {"--exclude", "blocks.0", "--min-width", "1", "--multiple-of",
                         "1"})["blocks"][0]["width_after"] == 48);

  CHECK(at.prune("1000000ms")["removed"] == 0);
  check_refusal(run_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out, "--latency",
                         "0.000001ms", "--threads", "1"),
                1, {"cannot come down to a latency", "minimum width 16"});
  // It is calibrated after that is known.
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data, "--out", at.out, "--latency",
                         "0.000001ms", "--threads", "1"),
                1, {"cannot come down to a latency"});
  at.set_times(0.0);
  check_refusal(run_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out, "--latency",
                         "0.99", "--threads", "1"),
                1, {"cannot come down to a latency of 0.99"});
}

TEST_CASE("a table of times is one of its machine, shape and batch, and measured again where it is broken",
          "[latency]") {
  const Cached at;
  at.prune("1");
  REQUIRE(at.tables().size() == 1);
  at.prune("1", {"--latency-batch", "2"});
  REQUIRE(at.tables().size() == 2);
  fs::remove_all(at.cache);
  at.prune("1");
  const fs::path table = at.tables().at(0);
  const json whole = read_json(table);
  json other_key = whole, short_times = whole, bad_time = whole;
  other_key["key"]["cpu"] = "another";
  short_times["times"].erase(0);
  bad_time["times"][0] = "fast";
  json negative = whole;
  negative["times"][0] = -1.0;
  for (const std::string& text :
       {std::string(), std::string("no JSON"), std::string("[]"), other_key.dump(), short_times.dump(),
        bad_time.dump(), negative.dump(), std::string("{\"key\": 3}")}) {
    INFO(text);
    write_text(table, text);
    at.prune("1");
    CHECK(read_json(table)["key"] == whole["key"]);
    CHECK(read_json(table)["times"].size() == whole["times"].size());
    CHECK(read_json(table)["times"][0].is_number());
  }
  // Where nothing can be remembered it is measured every time.
  ::setenv("XDG_CACHE_HOME", (at.model / "no folder").c_str(), 1);
  at.prune("1");
}
