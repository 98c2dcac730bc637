#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

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

  std::vector<std::string> command(const std::string& latency,
                                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = tool_command("prune", model, "--statistics", statistics, "--out", out,
                                                  "--json", report, "--threads", "1", "--latency", latency);
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  json prune(const std::string& latency, const std::vector<std::string>& more = {}) const {
    const Outcome outcome = Process(command(latency, more)).wait();
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

  /// Changes the table in the cache: the dense model takes 10 ms, time grows by the same `step` from width to
  /// width, and every plan was measured to save `truth` times what is predicted.
  void set_times(double step, double truth = 1.0) const {
    REQUIRE(tables().size() == 1);
    json table = read_json(tables()[0]);
    table["dense_ms"] = 10.0;
    double share = 1.0;
    for (json& entry : table["shares"]) {
      entry = share;
      share += step;
    }
    // The dense model has two blocks of width 48.
    const std::int64_t narrowest = table["widths"][0];
    const auto saved = [&](std::int64_t width) {
      return step > 0.0 ? static_cast<double>(48 - std::max(width, narrowest)) / 96.0 : 0.0;
    };
    table["plans"] = json::array();
    for (std::int64_t a = 1; a <= 48; ++a) {
      for (std::int64_t b = 1; b <= 48; ++b) {
        table["plans"].push_back({{"widths", {a, b}}, {"share", 1.0 - truth * (saved(a) + saved(b))}});
      }
    }
    write_text(tables()[0], table.dump());
  }
};

}  // namespace

TEST_CASE("prune meets a latency by the table of times of this machine", "[latency]") {
  const Cached at;
  // All neurons may stay, whatever the times are: the dense model's share is 1 by definition.
  json report = at.prune("1");
  CHECK(report["removed"] == 0);
  CHECK(report["budget"]["of"] == "latency");
  CHECK(report["budget"]["share"] == 1.0);
  CHECK(report["budget"]["reached"] == Approx(1.0));

  // The blocks are 48 wide: with panels of 16 the table has 16, 32 and 48, with panels of 32 it has 32
  // and 64.
  at.set_times(1.0);
  report = at.prune("0.7");
  CHECK(report["budget"]["reached"] == Approx(2.0 / 3.0));
  std::int64_t kept = 0;
  for (const json& block : report["blocks"]) {
    kept += block["width_after"].get<std::int64_t>();
    CHECK(block["width_after"].get<std::int64_t>() % 4 == 0);
  }
  CHECK(kept == 64);
  CHECK(report["requested"] == report["removed"]);
  CHECK(report["latency_ms"]["predicted"].get<double>() ==
        Approx(report["dense"]["latency_ms"]["median"].get<double>() * 2.0 / 3.0));
  CHECK(report["latency_ms"]["measured"] > 0.0);
  const std::string first = read_text(at.out);
  CHECK(at.prune("0.7")["blocks"] == report["blocks"]);
  CHECK(read_text(at.out) == first);
  CHECK(at.prune("0.9", {"--exclude", "blocks.0", "--min-width", "1", "--multiple-of",
                         "1"})["blocks"][0]["width_after"] == 48);

  // Noise around a line does not change the widths; two points always lie on a line.
  json noisy = read_json(at.tables()[0]);
  if (json& shares = noisy["shares"]; shares.size() == 3) {
    for (const auto& [i, noise] : {std::pair(0, 0.2), std::pair(1, -0.4), std::pair(2, 0.2)})
      shares[static_cast<std::size_t>(i)] = shares[static_cast<std::size_t>(i)].get<double>() + noise;
    write_text(at.tables()[0], noisy.dump());
    CHECK(at.prune("0.7")["blocks"] == report["blocks"]);
    at.set_times(1.0);
  }

  CHECK(at.prune("7ms")["blocks"] == report["blocks"]);
  CHECK(read_text(at.out) == first);
  // The latency that it has reached is a limit that it can reach.
  CHECK(at.prune("6.6666666666667ms")["blocks"] == report["blocks"]);
  CHECK(at.prune("1000000ms")["removed"] == 0);

  const auto refuse = [&](const std::string& latency, std::initializer_list<std::string> parts) {
    check_refusal(Process(at.command(latency)).wait(), 1, parts);
  };
  const bool panels_of_16 = read_json(at.tables()[0])["widths"][0] == 16;
  refuse("0.1", {"cannot come down to 0.1 of the dense latency: under the minimum width 16 the least is ",
                 panels_of_16 ? "0.3334 of the" : "0.6667 of the"});
  refuse("0.5ms", {"cannot come down to 0.5 ms: under the minimum width 16 the least is ",
                   panels_of_16 ? "3.334 ms" : "6.667 ms"});
  // That is known before the calibration, which these images would make impossible.
  const fs::path broken = at / "broken images";
  fs::create_directory(broken);
  write_text(broken / "broken.png", "no picture");
  check_refusal(run_tool("prune", at.model, "--calibrate", broken, "--out", at.out, "--latency", "0.5ms",
                         "--threads", "1"),
                1, {"cannot come down to 0.5 ms"});
  at.set_times(0.0);
  refuse("0.99", {"cannot come down to 0.99 of the dense latency", "the least is 1 of the dense latency"});
}

TEST_CASE("prune puts a prediction right by what plans were measured to take, and remembers that",
          "[latency]") {
  const Cached at;
  at.prune("1");
  // Plans save a fifth more than the table says, so that only a sixth of the neurons has to go for 0.8.
  at.set_times(1.0, 1.2);
  const fs::path table = at.tables().at(0);
  const std::string before = read_text(table);
  const json report = at.prune("0.8");
  CHECK(report["removed"] == 16);
  CHECK(report["budget"]["reached"] == Approx(0.8));
  CHECK(read_text(table) == before);
  CHECK(at.prune("8ms")["blocks"] == report["blocks"]);

  // A plan that is not in the table is measured and then added to it.
  json unknown = json::parse(before);
  unknown["plans"] = json::array();
  write_text(table, unknown.dump());
  const Outcome first = Process(at.command("0.7")).wait();
  const json plans = read_json(table)["plans"];
  REQUIRE_FALSE(plans.empty());
  CHECK(plans.size() <= 3);
  for (const json& plan : plans) CHECK(plan["share"] > 0.0);
  unknown["plans"] = plans;
  CHECK(read_json(table) == unknown);
  const Outcome second = Process(at.command("0.7")).wait();
  CHECK(second.code == first.code);
  CHECK(second.err == first.err);
  CHECK(read_json(table) == unknown);
}

TEST_CASE(
    "a table of latencies is one of its machine, shape and batch, and measured again where it is broken",
    "[latency]") {
  const Cached at;
  at.prune("1");
  REQUIRE(at.tables().size() == 1);
  at.prune("1", {"--latency-batch", "2"});
  REQUIRE(at.tables().size() == 2);
  fs::remove_all(at.cache);
  at.prune("1");
  const fs::path table = at.tables().at(0);
  // No measurement gives this time, so it tells a table that was read from one that was measured.
  json whole = read_json(table);
  whole["dense_ms"] = 1e6;
  // The order of the keys does not matter.
  write_text(table, whole.dump());
  at.prune("1");
  CHECK(read_json(table) == whole);

  const auto altered = [&](const json::json_pointer& where, const json& value) {
    json other = whole;
    other[where] = value;
    return other.dump();
  };
  using Pointer = json::json_pointer;
  for (const std::string& text :
       {std::string(), std::string("no JSON"), std::string("[]"), std::string("{\"key\": 3}"),
        altered(Pointer("/key/cpu"), "another"), altered(Pointer("/widths/0"), 8),
        altered(Pointer("/shares"), json::array({1.0})), altered(Pointer("/shares/0"), "fast"),
        altered(Pointer("/shares/0"), -1.0), altered(Pointer("/shares/0"), 0.0),
        altered(Pointer("/dense_ms"), nullptr), altered(Pointer("/dense_ms"), 1e300),
        altered(Pointer("/plans"), nullptr), altered(Pointer("/plans"), json::array({3})),
        altered(Pointer("/plans"), json::parse(R"([{"widths": [48], "share": 1.0}])")),
        altered(Pointer("/plans"), json::parse(R"([{"widths": [48, 32.5], "share": 1.0}])")),
        altered(Pointer("/plans"), json::parse(R"([{"widths": [48, 32], "share": 0.0}])")),
        altered(Pointer("/plans"), json::parse(R"([{"widths": [48, 32]}])")),
        whole.dump() + std::string(std::size_t{1} << 20, ' ')}) {
    INFO(text.substr(0, 1000));
    write_text(table, text);
    at.prune("1");
    const json again = read_json(table);
    CHECK(again["key"] == whole["key"]);
    CHECK(again["widths"] == whole["widths"]);
    CHECK(again["shares"].size() == whole["shares"].size());
    CHECK(again["dense_ms"] < 1e5);
  }
  write_text(table, whole.dump());
  at.prune("1", {"--latency-fresh"});
  CHECK(read_json(table)["dense_ms"] < 1e5);
  // If nothing can be remembered, every run measures.
  ::setenv("XDG_CACHE_HOME", (at.model / "no folder").c_str(), 1);
  at.prune("1");
}

TEST_CASE("a table of latencies that the user names is read, made, and not overwritten where it is another",
          "[latency]") {
  const Cached at;
  const fs::path table = at / "table";
  at.prune("1", {"--latency-table", table.string()});
  CHECK_FALSE(fs::exists(at.cache));
  json whole = read_json(table);
  CHECK(whole["key"]["threads"] == 1);
  CHECK(whole["key"]["batch"] == 1);
  whole["dense_ms"] = 1e6;
  write_text(table, whole.dump());
  at.prune("1000ms",
           {"--latency-table", table.string(), "--min-width", "1", "--multiple-of", "1", "--latency-fresh"});
  CHECK(read_json(table)["dense_ms"] < 1e5);

  write_text(table, whole.dump());
  fs::remove(at.out);
  fs::remove(at.report);
  const auto before = snapshot(at / "");
  const auto refuse = [&](const std::vector<std::string>& more, int code,
                          std::initializer_list<std::string> parts) {
    check_refusal(Process(at.command("1", more)).wait(), code, parts);
    CHECK(snapshot(at / "") == before);
  };
  refuse({"--latency-table", table.string(), "--latency-batch", "2"}, 1,
         {table.string() + ": is no table of the latencies of this model", "--latency-fresh"});
  refuse({"--latency-table", at.data.string()}, 1, {at.data.string() + ": is no table of the latencies"});
  refuse({"--latency-table", at.data.string(), "--latency-fresh"}, 1, {"is a folder, not a file"});
  refuse({"--latency-table", (at / "none" / "table").string()}, 1, {"its folder does not exist"});
  refuse({"--latency-table", at.model.string(), "--latency-fresh"}, 1, {"would overwrite", "which is read"});
  refuse({"--latency-table", at.statistics.string(), "--latency-fresh"}, 1,
         {"would overwrite", "which is read"});
  refuse({"--latency-table", at.out.string()}, 1,
         {"is the file of --latency-table and would be overwritten"});
  refuse({"--latency-table", at.report.string()}, 1,
         {"is the file of --latency-table and would be overwritten"});
  refuse({"--latency-table", ""}, 2, {"--latency-table: is empty"});
  check_refusal(run_tool("prune", at.model, "--statistics", at.statistics, "--out", at.out, "--rate", "0.5",
                         "--latency-fresh"),
                2, {"--latency-fresh", "--latency"});
}
