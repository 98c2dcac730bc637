/// Compares docs/tool.md with the tool: every option, and every key of every report with its type.

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

/// The text under one heading of docs/tool.md.
std::string section(const std::string& heading) {
  const std::string text = read_text(fs::path(VBP_TEST_DIR) / ".." / "docs" / "tool.md");
  const std::size_t begin = text.find("\n## " + heading + "\n");
  INFO(heading);
  REQUIRE(begin != std::string::npos);
  const std::size_t end = text.find("\n## ", begin + 1);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

struct Key {
  std::string type;
  bool optional = false;
};

/// The table of keys in a section: rows "| `key` | type |", the key in brackets where it is optional.
std::map<std::string, Key> documented_keys(const std::string& heading) {
  std::map<std::string, Key> keys;
  std::istringstream lines(section(heading));
  for (std::string line; std::getline(lines, line);) {
    const bool optional = line.starts_with("| [`");
    if (!optional && !line.starts_with("| `")) continue;
    const std::size_t begin = line.find('`') + 1, end = line.find('`', begin);
    const std::size_t type = line.find("| ", end) + 2;
    const std::string name = line.substr(begin, end - begin);
    if (!name.starts_with("--")) keys[name] = {line.substr(type, line.find(" |", type) - type), optional};
  }
  return keys;
}

/// The options that a text names: every "--word" that is not part of a longer word.
std::set<std::string> options_in(const std::string& text) {
  std::set<std::string> options;
  for (std::size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at + 2)) {
    const std::size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at + 2);
    if (end > at + 2 && text[at + 2] != '-') options.insert(text.substr(at, end - at));
  }
  return options;
}

/// The type of every key of a report. Values that are documented as objects are not opened.
void flatten(const json& value, const std::string& path, const std::map<std::string, Key>& documented,
             std::map<std::string, std::string>& types) {
  const auto known = documented.find(path);
  if (value.is_object() && (known == documented.end() || known->second.type != "object")) {
    for (const auto& [key, member] : value.items()) {
      flatten(member, path + (path.empty() ? "" : ".") + key, documented, types);
    }
  } else if (value.is_array()) {
    for (const json& element : value) flatten(element, path + "[]", documented, types);
  } else {
    types[path] = value.is_object()           ? "object"
                  : value.is_string()         ? "text"
                  : value.is_number_integer() ? "integer"
                  : value.is_number()         ? "number"
                                              : "?";
  }
}

/// Checks that every key of the report is documented with its type, and that every documented key occurs
/// unless it begins with one of `absent`.
void check_report(const std::string& heading, const fs::path& report,
                  std::initializer_list<std::string> absent = {}) {
  const auto documented = documented_keys(heading);
  std::map<std::string, std::string> found;
  flatten(read_json(report), "", documented, found);
  for (const auto& [key, type] : found) {
    INFO(heading << ": " << key);
    REQUIRE(documented.contains(key));
    CHECK(documented.at(key).type == type);
  }
  for (const auto& [key, facts] : documented) {
    INFO(heading << ": " << key);
    const std::string& name = key;  // clang 14 captures no structured binding
    const bool expected = std::none_of(absent.begin(), absent.end(),
                                       [&](const std::string& start) { return name.starts_with(start); });
    CHECK(found.contains(key) == expected);
  }
}

}  // namespace

TEST_CASE("the documentation names every key of every report, with its type", "[documentation]") {
  const Workplace at;
  const fs::path report = at / "report.json";
  // Twelve classes, so that there is a top-5; a failure and a duplicate, so that their lists are not empty.
  RawModel raw(at.model);
  raw.replace("head.weight", {12, 24}, std::vector<float>(12 * 24, 0.0F));
  raw.replace("head.bias", {12}, std::vector<float>(12, 0.5F));
  raw.metadata()["num_classes"] = "12";
  raw.metadata().erase("class_names");
  raw.write(at.model);
  for (int label = 7; label < 12; ++label) fs::create_directory(at.data / ("class " + std::to_string(label)));
  write_text(at.data / "class 8" / "broken.png", "no image");
  fs::create_directory(at / "calibration");
  fs::rename(at.data / "class 0" / "jpeg_420.jpg", at / "calibration" / "a.jpg");
  fs::copy_file(at / "calibration" / "a.jpg", at / "calibration" / "b.jpg");
  write_text(at / "calibration" / "c.jpg", "no image either");

  fs::copy_file(kGolden / "hf" / "dinov2" / "model.safetensors", at / "alone.safetensors");
  REQUIRE(run_tool("info", at / "alone.safetensors", "--json", report).code == 0);
  check_report("vbp info", report, {"stages[]"});
  const fs::path convnext = kGolden / "convnext" / "plain.safetensors";
  require_tool("info", convnext, "--json", report);
  check_report("vbp info", report, {"unresolved", "ignored"});
  REQUIRE(run_tool("eval", at.model, "--data", at.data, "--json", report).code == 0);
  check_report("vbp eval", report);
  REQUIRE(
      run_tool("predict", at.model, at.data / "class 8" / "broken.png", golden_images()[0], "--json", report)
          .code == 1);
  check_report("vbp predict", report);
  REQUIRE(run_tool("calibrate", at.model, "--data", at / "calibration", "--covariance", "--memory", "1GB",
                   "--out", at / "s", "--json", report)
              .code == 0);
  check_report("vbp calibrate", report);
  REQUIRE(run_tool("merge", at / "s", "--out", at / "t", "--json", report).code == 0);
  check_report("vbp merge", report);
  REQUIRE(run_tool("prune", at.model, "--calibrate", at / "calibration", "--evaluate", at.data, "--macs",
                   "0.9", "--memory", "1GB", "--out", at / "p", "--json", report)
              .code == 0);
  // The default method ranks by a score, not by the variance.
  check_report("vbp prune", report, {"blocks[].variance_kept", "latency_ms."});
  REQUIRE(run_tool("sweep", at.model, "--calibrate", at / "calibration", "--evaluate", at.data, "--rates",
                   "0.5,0.9", "--criteria", "variance", "--compensations", "none", "--json", report)
              .code == 0);
  check_report("vbp sweep", report, {"skipped[].criterion", "skipped[].compensation"});
  REQUIRE(run_tool("explain", at.model, "--calibrate", at / "calibration", "--rate", "0.5", "--out",
                   at / "page.html", "--json", report)
              .code == 0);
  check_report("vbp explain", report);
  REQUIRE(run_tool("finetune", at / "p", "--teacher", at.model, "--data", at.data, "--epochs", "1", "--batch",
                   "8", "--out", at / "f", "--json", report)
              .code == 0);
  check_report("vbp finetune and vbp train", report);
  require_tool("bench", at / "p", convnext, "--image-size", "32", "--repeat", "2", "--json", report);
  check_report("vbp bench", report);
  if (VBP_HAS_ONNX) {
    require_tool("export", at / "p", "--onnx", at / "p.onnx", "--json", report);
    check_report("vbp export", report);
  }

  // Optional keys may be absent; all others are there even if their lists are empty.
  require_tool("calibrate", at.model, "--data", at.data / "class 1", "--out", at / "s", "--json", report);
  CHECK(read_json(report)["failures"] == json::array());
  CHECK(read_json(report)["duplicates"] == json::array());
  require_tool("prune", at.model, "--statistics", at / "s", "--rate", "0.5", "--out", at / "p", "--json",
               report);
  const auto documented = documented_keys("vbp prune");
  std::map<std::string, std::string> found;
  flatten(read_json(report), "", documented, found);
  for (const auto& [key, facts] : documented) {
    if (key.starts_with("failures") || key.starts_with("duplicates")) continue;
    INFO(key);
    CHECK((facts.optional || found.contains(key)));
  }
}

TEST_CASE("the documentation names every option of every subcommand", "[documentation]") {
  const std::map<std::string, std::string> headings = {{"info", "vbp info"},
                                                       {"eval", "vbp eval"},
                                                       {"predict", "vbp predict"},
                                                       {"calibrate", "vbp calibrate"},
                                                       {"merge", "vbp merge"},
                                                       {"prune", "vbp prune"},
                                                       {"finetune", "vbp finetune and vbp train"},
                                                       {"bench", "vbp bench"},
                                                       {"train", "vbp finetune and vbp train"},
                                                       {"sweep", "vbp sweep"},
                                                       {"explain", "vbp explain"},
                                                       {"export", "vbp export"}};
  const std::string help = require_tool("--help");
  const std::set<std::string> shared = options_in(section("Options of several subcommands"));
  std::map<std::string, std::set<std::string>> of_section;
  for (const auto& [command, heading] : headings) {
    CHECK(contains(help, "\n  " + command + " "));
    const std::set<std::string> documented = options_in(section(heading));
    std::set<std::string> real = options_in(require_tool(command, "--help"));
    real.erase("--help");
    for (const std::string& option : real) {
      INFO(command << ' ' << option);
      CHECK((documented.contains(option) || shared.contains(option)));
    }
    of_section[heading].merge(real);
    of_section["Options of several subcommands"].insert(of_section[heading].begin(),
                                                        of_section[heading].end());
  }
  // The other direction: every option in the first column of a table exists.
  for (const auto& [heading, real] : of_section) {
    std::istringstream lines(section(heading));
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("| `--")) continue;
      for (const std::string& option : options_in(line.substr(0, line.find(" | ", 2)))) {
        INFO(heading << ' ' << option);
        CHECK(real.contains(option));
      }
    }
  }
  // Every subcommand of the tool is in the list above.
  std::istringstream lines(help.substr(help.find("Subcommands:")));
  std::size_t subcommands = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  ") && line.size() > 2 && line[2] != ' ') ++subcommands;
  }
  CHECK(subcommands == headings.size());
  CHECK(require_tool("--version").starts_with("vbp "));
}
