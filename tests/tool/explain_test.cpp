#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

/// A workplace with statistics, once with and once without covariances.
struct Explaining : Workplace {
  fs::path plain = folder / "plain";
  fs::path full = folder / "full";
  fs::path page = folder / "page.html";
  fs::path report = folder / "explain.json";

  Explaining() {
    require_tool("calibrate", model, "--data", data, "--out", plain);
    require_tool("calibrate", model, "--data", data, "--out", full, "--covariance");
  }

  template <class... Options>
  json explain(const Options&... options) const {
    require_tool("explain", model, "--rate", "0.5", "--out", page, "--json", report, options...);
    return read_json(report);
  }
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Checks that a page holds nothing that a browser would fetch or run.
void check_self_contained(const std::string& page) {
  CHECK(page.starts_with("<!doctype html>\n"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* part : {"<script", "<link", "<img", "url(", "@import", "src=", "href=", "<?xml"}) {
    INFO(part);
    CHECK_FALSE(contains(page, part));
  }
  CHECK(count(page, "<svg ") == count(page, "</svg>"));
}

}  // namespace

TEST_CASE("explain gives the errors that the covariance has", "[explain]") {
  const Explaining at;
  const json report = at.explain("--statistics", at.full, "--criterion", "variance");
  const auto calibration = vbp::io::Calibration::load(at.full);
  std::vector<double> variances;
  for (const auto& statistics : calibration.statistics) {
    const vbp::Vector<double> own = statistics.variance();
    variances.insert(variances.end(), own.begin(), own.end());
  }
  std::sort(variances.begin(), variances.end());
  const double threshold = variances[47];
  const RawModel dense(at.model);
  REQUIRE(report["blocks"].size() == 2);
  for (std::size_t b = 0; b < 2; ++b) {
    const json& block = report["blocks"][b];
    const auto& moments = calibration.covariances[b];
    const vbp::Matrix<double> covariance = moments.covariance();
    const vbp::Vector<double> mean = moments.mean();
    const auto values = dense.values("blocks." + std::to_string(b) + ".mlp.fc2.weight");
    const vbp::Matrix<double> w2 = Eigen::Map<const vbp::Matrix<float>>(values.data(), 24, 48).cast<double>();
    // The missing part of the output is W2 h with the kept columns of W2 set to zero.
    vbp::Matrix<double> missing = w2;
    double kept_variance = 0.0;
    int kept = 0;
    for (Index j = 0; j < 48; ++j) {
      if (calibration.statistics[b].variance()(j) <= threshold) continue;
      missing.col(j).setZero();
      kept_variance += calibration.statistics[b].variance()(j);
      ++kept;
    }
    const double variance = (w2 * covariance * w2.transpose()).trace();
    const double shifted = (missing * covariance * missing.transpose()).trace();
    const double means = (missing * mean).squaredNorm();
    CHECK(block["width_after"] == kept);
    CHECK(block["variance_kept"] == Approx(kept_variance / calibration.statistics[b].variance().sum()));
    CHECK(block["error_mean_shift"] == Approx(shifted / variance));
    CHECK(block["error_none"] == Approx((shifted + means) / variance));
    CHECK(block["error_refit"] > 0.0);
    CHECK(block["error_refit"] <= block["error_mean_shift"]);
    // Eigenvalues fall; their sum is the trace, and the sum of their squares is that of all elements'
    // squares.
    const std::vector<double> spectrum = block["spectrum"];
    REQUIRE(spectrum.size() == 48);
    CHECK(std::is_sorted(spectrum.rbegin(), spectrum.rend()));
    double sum = 0.0, squares = 0.0;
    for (const double value : spectrum) sum += value, squares += value * value;
    CHECK(sum == Approx(covariance.trace()));
    CHECK(squares == Approx(covariance.squaredNorm()));
  }
  const std::string page = read_text(at.page);
  check_self_contained(page);
  // The overview and a picture of every block, two panels each.
  CHECK(count(page, "<svg ") == 3);
  CHECK(count(page, ">Spectrum of the covariance<") == 2);
  // The axis of the blocks has whole numbers only.
  CHECK_FALSE(contains(page.substr(0, page.find("</svg>")), ">0.2</text>"));
  CHECK(count(page, ">cut<") == 2);
  for (const char* part :
       {">blocks.0<", ">blocks.1<", ">mean shift<", ">refit<", "48 of 96 hidden neurons go"}) {
    CHECK(contains(page, part));
  }
  CHECK_FALSE(contains(page, "are missing"));
}

TEST_CASE("explain chooses as prune does, from a file or from images", "[explain]") {
  const Explaining at;
  for (const char* criterion : {"greedy", "variance", "random"}) {
    const json by_file = at.explain("--statistics", at.full, "--criterion", criterion);
    CHECK(by_file["criterion"] == criterion);
    require_tool("prune", at.model, "--statistics", at.full, "--rate", "0.5", "--criterion", criterion,
                 "--compensation", "refit", "--out", at / "pruned", "--json", at / "prune.json");
    const json pruned = read_json(at / "prune.json");
    for (std::size_t b = 0; b < 2; ++b) {
      CHECK(by_file["blocks"][b]["width_after"] == pruned["blocks"][b]["width_after"]);
    }
  }
  CHECK(at.explain("--statistics", at.full)["criterion"] == "greedy");
  const json direct = at.explain("--calibrate", at.data, "--criterion", "variance", "--threads", "3");
  const json by_file = at.explain("--statistics", at.full, "--criterion", "variance", "--threads", "1");
  CHECK(direct["calibration_images"] == 26);
  CHECK(direct["blocks"] == by_file["blocks"]);
  // Gradients need labelled images.
  CHECK(at.explain("--calibrate", at.data, "--criterion", "snip")["criterion"] == "snip");
  check_refusal(run_tool("explain", at.model, "--rate", "0.5", "--out", at.page, "--statistics", at.full,
                         "--criterion", "snip"),
                1, {"labelled", "--calibrate"});
}

TEST_CASE("explain shows what plain statistics hold, and says what is missing", "[explain]") {
  const Explaining at;
  const json report = at.explain("--statistics", at.plain);
  CHECK(report["criterion"] == "variance");
  CHECK_FALSE(report["blocks"][0].contains("error_refit"));
  CHECK_FALSE(report["blocks"][0].contains("spectrum"));
  CHECK(report["blocks"][0]["variance_kept"] > 0.5);
  const std::string page = read_text(at.page);
  check_self_contained(page);
  CHECK(contains(page, "Spectra and errors are missing"));
  CHECK(contains(page, "--covariance"));
  CHECK_FALSE(contains(page, ">Spectrum of the covariance<"));
  CHECK(count(page, ">cut<") == 2);
}

TEST_CASE("a page of a block that loses nothing, or does not vary, is drawn too", "[explain]") {
  const Explaining at;
  require_tool("explain", at.model, "--rate", "0", "--statistics", at.full, "--out", at.page);
  CHECK(contains(read_text(at.page), "0 of 96 hidden neurons go"));
  // A first layer of zeros gives every token the same hidden activations.
  RawModel raw(at.model);
  raw.fill("blocks.1.mlp.fc1.weight", 0.0F);
  raw.write(at / "constant.safetensors");
  require_tool("explain", at / "constant.safetensors", "--rate", "0.5", "--calibrate", at.data, "--criterion",
               "variance", "--out", at.page);
  check_self_contained(read_text(at.page));
}

TEST_CASE("names cannot write into the page", "[explain]") {
  const Explaining at;
  const fs::path model = at / "<b>&.safetensors";
  fs::copy_file(at.model, model);
  require_tool("explain", model, "--rate", "0.5", "--statistics", at.full, "--out", at.page);
  const std::string page = read_text(at.page);
  CHECK(contains(page, "&lt;b&gt;&amp;.safetensors"));
  CHECK_FALSE(contains(page, "<b>"));
}

TEST_CASE("what cannot be explained is refused before any work", "[explain]") {
  const Explaining at;
  const auto before = snapshot(at.folder.path());
  const auto explain = [&](const auto&... options) { return run_tool("explain", at.model, options...); };
  check_refusal(explain("--rate", "0.5", "--statistics", at.full), 2, {"--out is required"});
  check_refusal(explain("--out", at.page, "--statistics", at.full), 2, {"--rate is required"});
  check_refusal(explain("--rate", "0.5", "--out", at.page), 2, {"one of --calibrate and --statistics"});
  check_refusal(explain("--rate", "0.5", "--out", at.page, "--calibrate", at.data, "--statistics", at.full),
                2, {"--calibrate", "--statistics"});
  check_refusal(explain("--rate", "0.5", "--out", at.page, "--calibrate", at / "none"), 1,
                {(at / "none").string(), "no such folder"});
  check_refusal(explain("--rate", "0.5", "--out", at.page, "--statistics", at / "none"), 1,
                {(at / "none").string()});
  check_refusal(explain("--rate", "0.9", "--out", at.page, "--statistics", at.full), 1, {"minimum width"});
  check_refusal(explain("--rate", "2", "--out", at.page, "--statistics", at.full), 1, {"outside [0, 1)"});
  check_refusal(explain("--rate", "0.5", "--out", at.page, "--statistics", at.full, "--criterion", "magic"),
                2, {"--criterion", "magic"});
  check_refusal(explain("--rate", "0.5", "--out", at.page, "--statistics", at.plain, "--criterion", "greedy"),
                1, {"greedy", "needs covariances", "--covariance"});
  check_refusal(explain("--rate", "0.5", "--out", at.full, "--statistics", at.full), 1,
                {at.full.string(), "would overwrite"});
  check_refusal(explain("--rate", "0.5", "--out", at.model, "--statistics", at.full), 1,
                {at.model.string(), "would overwrite"});
  const fs::path image = at.data / "class 0" / "jpeg_420.jpg";
  check_refusal(explain("--rate", "0.5", "--out", image, "--calibrate", at.data), 1,
                {image.string(), "would overwrite"});
  check_refusal(run_tool("explain", kGolden / "vit" / "one_channel.safetensors", "--rate", "0.5", "--out",
                         at.page, "--statistics", at.full),
                1, {at.full.string(), "another model"});
  CHECK(snapshot(at.folder.path()) == before);
}
