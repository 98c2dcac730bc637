/// The choice of kernels: --arch, vbp info --machine.

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

/// The architectures that vbp info --machine lists as usable, the best first.
std::vector<std::string> usable_architectures() {
  std::istringstream lines(require_tool("info", "--machine"));
  std::string line;
  while (std::getline(lines, line) && !line.starts_with("kernels:")) continue;
  std::vector<std::string> names;
  std::istringstream words(line.substr(line.find(':') + 1));
  for (std::string word; words >> word;) {
    if (word == "(not") {
      names.pop_back();
      std::getline(words, word, ')');
    } else if (word != "(used)") {
      names.push_back(word);
    }
  }
  return names;
}

}  // namespace

TEST_CASE("the best kernels are used, or those that are asked for", "[machine]") {
  const std::vector<std::string> names = usable_architectures();
  REQUIRE(!names.empty());
  CHECK(contains(require_tool("info", "--machine"), names.front() + " (used)"));
  for (const std::string& name : names) {
    INFO(name);
    CHECK(contains(require_tool("--arch", name, "info", "--machine"), ' ' + name + " (used)"));
  }
}

TEST_CASE("every kind of kernel gives the same top-1 and the same plan", "[machine]") {
  const Workplace at;
  json expected_eval, expected_blocks;
  for (const std::string& name : usable_architectures()) {
    INFO(name);
    require_tool("--arch", name, "eval", at.model, "--data", at.data, "--json", at / "report.json");
    json eval = read_json(at / "report.json");
    require_tool("--arch", name, "prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--method",
                 "vbp", "--out", at / "pruned.safetensors", "--json", at / "report.json");
    json blocks = read_json(at / "report.json")["blocks"];
    // Sums are rounded differently, widths are not.
    for (json& block : blocks) block.erase("variance_kept");
    if (expected_eval.is_null()) {
      expected_eval = eval["top1"];
      expected_blocks = blocks;
    }
    CHECK(eval["top1"] == expected_eval);
    CHECK(blocks == expected_blocks);
  }
}

TEST_CASE("an architecture that there is not is refused", "[machine]") {
  check_refusal(run_tool("--arch", "abacus", "info", kGolden / "vit" / "plain.safetensors"), 1,
                {"abacus", usable_architectures().back()});
}
