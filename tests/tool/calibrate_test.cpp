#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/io/calibration_file.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;
using vbp::io::Calibration;

std::string hash_of(const fs::path& path) {
  return vbp::io::hash_bytes(vbp::io::MappedFile(path).bytes()).to_string();
}

std::vector<std::string> hashes_in(const Calibration& calibration) {
  std::vector<std::string> hashes;
  for (const auto& image : calibration.images) hashes.push_back(image.to_string());
  return hashes;
}

/// The files in a folder and below it, in the order of their names.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("calibrate observes every token of every image once", "[calibrate]") {
  const Workplace at;
  // A hidden layer that does not depend on its input: GELU of the bias, without variance.
  RawModel raw(at.model);
  raw.fill("blocks.1.mlp.fc1.weight", 0.0F);
  std::vector<float> bias(48);
  for (std::size_t j = 0; j < bias.size(); ++j) bias[j] = 0.25F * static_cast<float>(j) - 6.0F;
  raw.set_values("blocks.1.mlp.fc1.bias", bias);
  raw.write(at.model);
  const fs::path out = at / "statistics";
  const std::string text =
      require_tool("calibrate", at.model, "--data", at.data, "--out", out, "--json", at / "c.json");
  CHECK(contains(text, "statistics of 26 images in " + out.string()));

  const Calibration calibration = Calibration::load(out);
  std::vector<std::string> hashes;
  for (const fs::path& file : files_below(at.data)) hashes.push_back(hash_of(file));
  CHECK(hashes_in(calibration) == hashes);
  CHECK(calibration.names == std::vector<std::string>{"blocks.0", "blocks.1"});
  for (const auto& statistics : calibration.statistics) {
    CHECK(statistics.features() == 48);
    CHECK(statistics.count() == 26 * 17);
  }
  for (std::size_t j = 0; j < bias.size(); ++j) {
    const double x = bias[j];
    const double gelu = 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    // GELU is computed in float: half an ulp of the value, and the error of erfc near its tail.
    CHECK(calibration.statistics[1].mean()[static_cast<Index>(j)] == Approx(gelu).epsilon(1e-6).margin(1e-7));
    CHECK(calibration.statistics[1].variance()[static_cast<Index>(j)] == 0.0);
  }
  CHECK(calibration.statistics[0].variance().minCoeff() > 0.0);

  const json report = read_json(at / "c.json");
  CHECK(report["images"] == 26);
  CHECK(report["images_this_run"] == 26);
  CHECK(report["blocks"] == json::parse(R"([{"name": "blocks.0", "width": 48, "tokens": 442},
                                            {"name": "blocks.1", "width": 48, "tokens": 442}])"));
}

TEST_CASE("calibrate gives the same file for any number of threads", "[calibrate]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "one", "--threads", "1", "--batch",
               "5");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "two", "--threads", "2", "--batch",
               "5");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "seven", "--threads", "7", "--batch",
               "5");
  CHECK(read_text(at / "one") == read_text(at / "two"));
  CHECK(read_text(at / "one") == read_text(at / "seven"));
}

TEST_CASE("a calibration's limit takes the first images of every sub-folder, the same every time",
          "[calibrate]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "a", "--limit", "9");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "b", "--limit", "9");
  CHECK(read_text(at / "a") == read_text(at / "b"));
  std::vector<std::string> expected;
  for (int label = 0; label < 7; ++label) {
    const std::vector<fs::path> files = files_below(at.data / ("class " + std::to_string(label)));
    for (std::size_t i = 0; i < (label < 2 ? 2U : 1U); ++i) expected.push_back(hash_of(files[i]));
  }
  CHECK(hashes_in(Calibration::load(at / "a")) == expected);
}

TEST_CASE("a calibration in parts, merged, is the calibration in one pass", "[merge]") {
  const Workplace at;
  // Each part gets different sub-folders.
  for (const char* part : {"first", "second", "third"}) fs::create_directory(at / part);
  for (int label = 0; label < 7; ++label) {
    const std::string name = "class " + std::to_string(label);
    const char* part = label < 3 ? "first" : label < 4 ? "second" : "third";
    fs::create_directory_symlink(at.data / name, at / part / name);
  }
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "whole");
  for (const char* part : {"first", "second", "third"}) {
    require_tool("calibrate", at.model, "--data", at / part, "--out", at / (std::string(part) + ".stats"));
  }
  const std::string text = require_tool("merge", at / "first.stats", at / "second.stats", at / "third.stats",
                                        "--out", at / "merged", "--json", at / "m.json");
  CHECK(contains(text, "statistics of 26 images in " + (at / "merged").string()));

  const Calibration whole = Calibration::load(at / "whole"), merged = Calibration::load(at / "merged");
  CHECK(hashes_in(merged) == hashes_in(whole));
  CHECK(merged.model == whole.model);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto &a = whole.statistics[i], &b = merged.statistics[i];
    CHECK(a.count() == b.count());
    // Sums of 442 numbers in another order: their rounding is far below 442 ulps.
    CHECK((a.mean() - b.mean()).cwiseAbs().maxCoeff() <= 442 * 2.3e-16 * a.mean().cwiseAbs().maxCoeff());
    CHECK((a.variance() - b.variance()).cwiseAbs().maxCoeff() <= 442 * 2.3e-16 * a.variance().maxCoeff());
  }
  const json report = read_json(at / "m.json");
  CHECK(report["images"] == 26);
  CHECK(report["files"].size() == 3);
  CHECK(report["blocks"][1]["tokens"] == 442);
}

TEST_CASE("merge refuses what does not belong together", "[merge]") {
  const Workplace at;
  RawModel raw(at.model);
  raw.fill("norm.bias", 0.125F);
  raw.write(at / "other.safetensors");
  const fs::path own = at / "own", other = at / "other", large = at / "large", out = at / "out";
  require_tool("calibrate", at.model, "--data", at.data / "class 0", "--out", own);
  require_tool("calibrate", at / "other.safetensors", "--data", at.data / "class 1", "--out", other);
  require_tool("calibrate", at.model, "--data", at.data, "--limit", "3", "--out", at / "overlap");
  require_tool("calibrate", at.model, "--data", at.data / "class 2", "--set", "crop_pct=1", "--out", large);
  write_text(out, "old");
  const auto before = snapshot(at.folder.path());
  check_refusal(run_tool("merge", own, other, "--out", out), 1, {other.string() + ": ", "another model"});
  check_refusal(run_tool("merge", own, large, "--out", out), 1,
                {large.string() + ": ", "preprocessed in another way"});
  check_refusal(run_tool("merge", own, at / "overlap", "--out", out), 1,
                {(at / "overlap").string() + ": ", "1 of 3 images would be counted twice"});
  check_refusal(run_tool("merge", own, own, "--out", out), 1, {own.string() + ": ", "4 of 4 images"});
  check_refusal(run_tool("merge", own, at.model, "--out", out), 1,
                {at.model.string() + ": is not a calibration file"});
  check_refusal(run_tool("merge", own, at / "missing", "--out", out), 1, {(at / "missing").string() + ": "});
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("a calibration that goes on ends with the bits of an unbroken one", "[calibrate]") {
  const Workplace at;
  // Copies of images stand before and behind the interruption, of images from either side of it. They take
  // places in the batches; a file that cannot be decoded takes none.
  fs::copy_file(at.data / "class 0" / "jpeg_420.jpg", at.data / "class 2" / "a.jpg");
  fs::copy_file(at.data / "class 3" / "png_rgba.png", at.data / "class 4" / "a.png");
  write_text(at.data / "class 1" / "z.png", "no image");
  write_text(at.data / "class 5" / "a.png", "no image");
  // The first two batches of the complete run: the four images of each of the first two classes.
  fs::create_directory(at / "begin");
  for (const char* name : {"class 0", "class 1"})
    fs::create_directory_symlink(at.data / name, at / "begin" / name);
  const auto calibrate = [&](const fs::path& data, const fs::path& out, const char* how) {
    CHECK(run_tool("calibrate", at.model, "--data", data, "--out", out, how, "--batch", "4", "--json",
                   at / "c.json")
              .code == 0);
  };
  calibrate(at.data, at / "whole", "--threads=1");
  calibrate(at / "begin", at / "parts", "--threads=2");
  CHECK(read_text(at / "parts") != read_text(at / "whole"));
  calibrate(at.data, at / "parts", "--resume");
  CHECK(read_text(at / "parts") == read_text(at / "whole"));
  CHECK(read_json(at / "c.json")["images"] == 26);
  CHECK(read_json(at / "c.json")["images_this_run"] == 18);

  // A complete file does not change; without a file all images are seen.
  calibrate(at.data, at / "parts", "--resume");
  CHECK(read_text(at / "parts") == read_text(at / "whole"));
  CHECK(read_json(at / "c.json")["images_this_run"] == 0);
  calibrate(at.data, at / "new", "--resume");
  CHECK(read_text(at / "new") == read_text(at / "whole"));
}

TEST_CASE("a calibration goes on with images that are new among those it has seen", "[calibrate]") {
  const Workplace at;
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats");
  // One comes before, one between and one after the others.
  const std::string picture = read_text(kGolden / "images" / "png_rgb.png");
  write_text(at.data / "class 0" / "a.png", picture + "1");
  write_text(at.data / "class 3" / "k.png", picture + "2");
  write_text(at.data / "class 6" / "z.png", picture + "3");
  require_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats", "--resume", "--json",
               at / "c.json");
  CHECK(read_json(at / "c.json")["images"] == 29);
  CHECK(read_json(at / "c.json")["images_this_run"] == 3);
}

TEST_CASE("a calibration of another model or preprocessing does not go on", "[calibrate]") {
  const Workplace at;
  RawModel raw(at.model);
  raw.fill("norm.bias", 0.125F);
  raw.write(at / "other.safetensors");
  require_tool("calibrate", at.model, "--data", at.data / "class 0", "--out", at / "stats");
  const auto before = snapshot(at.folder.path());
  check_refusal(
      run_tool("calibrate", at / "other.safetensors", "--data", at.data, "--out", at / "stats", "--resume"),
      1, {(at / "stats").string() + ": holds the statistics of another model"});
  check_refusal(run_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats", "--resume", "--set",
                         "crop_pct=1"),
                1, {(at / "stats").string() + ": was made with another preprocessing"});
  CHECK(snapshot(at.folder.path()) == before);
}

TEST_CASE("an image of the same content counts once, and the other is named", "[calibrate]") {
  const Workplace at;
  const fs::path copy = at.data / "class 6" / "zz copy.jpg";
  fs::copy_file(kGolden / "images" / "jpeg_420.jpg", copy);
  const Outcome outcome =
      run_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats", "--json", at / "c.json");
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "vbp: left out: " + copy.string() + ": has the content of an image seen before\n");
  const json report = read_json(at / "c.json");
  CHECK(report["images"] == 26);
  CHECK(report["duplicates"] == json({copy.string()}));
  CHECK(contains(outcome.out, "\nimages left out: 1\n"));
  CHECK(report["blocks"][0]["tokens"] == 442);
}

TEST_CASE("a calibration names what it cannot decode, and with --strict ends", "[calibrate]") {
  const Workplace at;
  const fs::path broken = at.data / "class 2" / "broken.png";
  write_text(broken, "no image");
  check_refusal(run_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats", "--strict"), 1,
                {broken.string() + ": neither a JPEG nor a PNG image"});
  CHECK_FALSE(fs::exists(at / "stats"));
  const Outcome outcome =
      run_tool("calibrate", at.model, "--data", at.data, "--out", at / "stats", "--json", at / "c.json");
  CHECK(outcome.code == 0);
  CHECK(outcome.err == "vbp: left out: " + broken.string() + ": neither a JPEG nor a PNG image\n");
  CHECK(read_json(at / "c.json")["failures"][0]["file"] == broken.string());
  CHECK(read_json(at / "c.json")["images"] == 26);
}
