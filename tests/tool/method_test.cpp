#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("calibrate keeps covariances where it is asked to", "[method]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "plain", "--batch", "4");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "full", "--covariance", "--batch", "4",
               "--json", at / "report");
  CHECK(read_json(at / "report")["moments"] == "variance,covariance");
  const auto plain = vbp::io::Calibration::load(at / "plain");
  const auto full = vbp::io::Calibration::load(at / "full");
  REQUIRE(full.covariances.size() == 2);
  CHECK(plain.covariances.empty());
  for (std::size_t b = 0; b < 2; ++b) {
    // Variances are the same whether covariances are kept or not.
    CHECK(full.statistics[b].m2() == plain.statistics[b].m2());
    const vbp::Vector<double> variance = full.statistics[b].variance();
    // Products are rounded to float.
    CHECK((full.covariances[b].variance() - variance).norm() <= 1e-5 * variance.norm());
  }
  check_refusal(run_tool("merge", at / "plain", at / "full", "--out", at / "merged"), 1,
                {"hold the moments \"variance,covariance\", not \"variance\""});
  check_refusal(
      run_tool("calibrate", at.model, "--data", at.data, "--out", at / "plain", "--resume", "--covariance"),
      1, {"holds the moments \"variance\""});
}

TEST_CASE("prune takes the best method that its input allows, and names it", "[method]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "plain");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "full", "--covariance");
  const auto method = [&](const char* source, const fs::path& from, auto... more) {
    const std::string text = require_tool("prune", at.model, source, from, "--rate", "0.5", "--out",
                                          at / "out", "--json", at / "report", more...);
    const json report = read_json(at / "report");
    CHECK(report["removed"] == 48);
    CHECK(contains(text, "method " + report["method"].get<std::string>()));
    return report["method"].get<std::string>();
  };
  CHECK(method("--statistics", at / "plain") == "vbp");
  CHECK(method("--statistics", at / "full") == "greedy + refit");
  CHECK(method("--calibrate", at.data) == "greedy + sequential-all");
  CHECK(method("--calibrate", at.data, "--criterion", "variance") == "variance + sequential-all");
  for (const char* name : {"vbp", "ob2c", "dvbp+ob2c"}) {
    CHECK(method("--calibrate", at.data, "--method", name) == name);
    CHECK(method("--statistics", at / "full", "--method", name) == name);
  }
  for (const char* criterion : {"output-variance", "clusters", "magnitude", "random"}) {
    for (const char* compensation : {"none", "sequential", "sequential-attention"}) {
      CHECK(method("--calibrate", at.data, "--criterion", criterion, "--compensation", compensation) ==
            std::string(criterion) + " + " + compensation);
    }
  }
}

TEST_CASE("snip ranks by the gradients of the labels", "[method]") {
  const Workplace at;
  const auto prune = [&](const fs::path& data, const fs::path& out, auto... more) {
    require_tool("prune", at.model, "--calibrate", data, "--rate", "0.5", "--criterion", "snip",
                 "--compensation", "mean-shift", "--out", out, "--json", at / "report", more...);
    CHECK(read_json(at / "report")["method"] == "snip + mean-shift");
    return read_text(out);
  };
  const std::string expected = prune(at.data, at / "one", "--threads", "1");
  CHECK(prune(at.data, at / "three", "--threads", "3") == expected);
  // Other labels for the same images: means and variances are the same, gradients are not.
  const fs::path swapped = at / "swapped";
  fs::create_directory(swapped);
  for (int i = 0; i < 7; ++i) {
    fs::copy(at.data / ("class " + std::to_string(i)), swapped / ("class " + std::to_string(6 - i)));
  }
  CHECK(prune(swapped, at / "swapped.safetensors") != expected);
}

TEST_CASE("the refit from a file is the refit from its images, for any number of threads", "[method]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "full", "--covariance", "--threads",
               "1");
  require_tool("prune", at.model, "--statistics", at / "full", "--rate", "0.5", "--method", "ob2c", "--out",
               at / "by_file");
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--method", "ob2c", "--threads",
               "3", "--out", at / "direct");
  CHECK(read_text(at / "direct") == read_text(at / "by_file"));
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--threads", "1", "--out",
               at / "one");
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--threads", "3", "--out",
               at / "three");
  CHECK(read_text(at / "one") == read_text(at / "three"));
  CHECK(read_text(at / "one") != read_text(at / "direct"));
}

TEST_CASE("a method is refused where its input is missing, and the option that gives it is named",
          "[method]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "plain");
  const auto refused = [&](std::initializer_list<std::string> parts, auto... more) {
    check_refusal(run_tool("prune", at.model, "--statistics", at / "plain", "--rate", "0.5", "--out",
                           at / "out", more...),
                  1, parts);
  };
  refused({"sequential-all", "--calibrate"}, "--compensation", "sequential-all");
  refused({"ob2c", "needs covariances", "--covariance"}, "--method", "ob2c");
  refused({"greedy", "needs covariances"}, "--criterion", "greedy");
  refused({"snip", "labelled", "--calibrate"}, "--criterion", "snip");
  // Images outside of sub-folders have no labels.
  check_refusal(run_tool("prune", at.model, "--calibrate", at.data / "class 0", "--rate", "0.5", "--out",
                         at / "out", "--criterion", "snip"),
                1, {"one sub-folder a class"});
  CHECK(run_tool("prune", at.model, "--statistics", at / "plain", "--rate", "0.5", "--out", at / "out",
                 "--method", "vbp", "--criterion", "variance")
            .code == 2);
}
