#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

constexpr std::size_t kClasses = 12;

/// A model of twelve classes that gives every image the same scores, `bias`.
fs::path biased_model(const fs::path& path, const std::vector<float>& bias) {
  REQUIRE(bias.size() == kClasses);
  RawModel model(kGolden / "vit" / "plain.safetensors");
  model.replace("head.weight", {kClasses, 24}, std::vector<float>(kClasses * 24, 0.0F));
  model.replace("head.bias", {kClasses}, bias);
  model.metadata()["num_classes"] = std::to_string(kClasses);
  model.metadata().erase("class_names");
  return model.write(path);
}

/// Golden pictures in sub-folders: of each the name, and how many pictures it gets.
void lay_out(const fs::path& data, const std::vector<std::pair<std::string, std::size_t>>& folders) {
  const std::vector<fs::path> images = golden_images();
  for (const auto& [name, count] : folders) {
    fs::create_directories(data / name);
    for (std::size_t i = 0; i < count; ++i) fs::copy_file(images[i], data / name / images[i].filename());
  }
}

std::string class_name(std::size_t label) {
  return std::string(1, static_cast<char>('l' - label));
}

}  // namespace

TEST_CASE("eval counts the images whose class is first, and among the first five", "[eval]") {
  const TemporaryFolder folder;
  // Class 4 has the highest score, then 9, 0, 7, 11 and the others.
  std::vector<float> bias(kClasses, -1.0F);
  bias[4] = 5.0F, bias[9] = 4.0F, bias[0] = 3.0F, bias[7] = 2.0F, bias[11] = 1.0F;
  const fs::path model = biased_model(folder / "model.safetensors", bias);
  std::vector<std::pair<std::string, std::size_t>> folders;
  for (std::size_t label = 0; label < kClasses; ++label) {
    folders.emplace_back("folder " + std::string(1, static_cast<char>('a' + label)), label + 1);
  }
  lay_out(folder / "data", folders);

  // In name order, as the model has no class names.
  const std::string text =
      require_tool("eval", model, "--data", folder / "data", "--json", folder / "e.json");
  const json report = read_json(folder / "e.json");
  constexpr double images = 78.0;
  CHECK(report["images"] == 78);
  CHECK(report["top1"] == Approx(5 / images));
  CHECK(report["top5"] == Approx((5 + 10 + 1 + 8 + 12) / images));
  CHECK(report["images_per_second"] > 0.0);
  CHECK(report["failures"].empty());
  CHECK(contains(text, "top-1 6.41 %, top-5 46.15 % of 78 images"));
}

TEST_CASE("eval gives ties to the lower class", "[eval]") {
  const TemporaryFolder folder;
  const fs::path model = biased_model(folder / "model.safetensors", std::vector<float>(kClasses, 0.0F));
  std::vector<std::pair<std::string, std::size_t>> folders;
  for (std::size_t label = 0; label < kClasses; ++label) folders.emplace_back(class_name(label), label + 1);
  lay_out(folder / "data", folders);
  require_tool("eval", model, "--data", folder / "data", "--json", folder / "e.json");
  // Folder "a" comes first and holds twelve images, "b" eleven.
  CHECK(read_json(folder / "e.json")["top1"] == Approx(12.0 / 78.0));
  CHECK(read_json(folder / "e.json")["top5"] == Approx((12.0 + 11.0 + 10.0 + 9.0 + 8.0) / 78.0));
}

TEST_CASE("eval maps sub-folders to classes by the model's class names", "[eval]") {
  const TemporaryFolder folder;
  std::vector<float> bias(kClasses, 0.0F);
  bias[2] = 1.0F;
  RawModel raw(biased_model(folder / "model.safetensors", bias));
  json names = json::array();
  for (std::size_t label = 0; label < kClasses; ++label) names.push_back(class_name(label));
  raw.metadata()["class_names"] = names.dump();
  const fs::path model = raw.write(folder / "model.safetensors");
  // A subset of the classes is enough. "j" is class 2, and third from the end by name.
  lay_out(folder / "data", {{"l", 3}, {"j", 5}, {"a", 2}});
  require_tool("eval", model, "--data", folder / "data", "--json", folder / "e.json");
  CHECK(read_json(folder / "e.json")["top1"] == Approx(5.0 / 10.0));

  fs::rename(folder / "data" / "a", folder / "data" / "z");
  check_refusal(run_tool("eval", model, "--data", folder / "data"), 1,
                {(folder / "data").string(), "sub-folder \"z\" is none of the model's classes"});
  fs::rename(folder / "data" / "j", folder / "data" / "y");
  fs::rename(folder / "data" / "l", folder / "data" / "x");
  check_refusal(run_tool("eval", model, "--data", folder / "data"), 1,
                {(folder / "data").string(), "3 sub-folders for the model's 12 classes"});
}

TEST_CASE("eval reports top-5 from ten classes up", "[eval]") {
  const Workplace at;
  const std::string text = require_tool("eval", at.model, "--data", at.data, "--json", at / "e.json");
  CHECK_FALSE(read_json(at / "e.json").contains("top5"));
  CHECK_FALSE(contains(text, "top-5"));
}

TEST_CASE("a limit takes the first images of every class, evenly", "[eval]") {
  const Workplace at;
  std::vector<std::string> kept;
  for (int label = 0; label < 7; ++label) {
    // All but the first image of each class, and the second of the first two, cannot be decoded.
    std::vector<fs::path> images;
    for (const auto& entry : fs::directory_iterator(at.data / ("class " + std::to_string(label)))) {
      images.push_back(entry.path());
    }
    std::sort(images.begin(), images.end());
    for (std::size_t i = label < 2 ? 2 : 1; i < images.size(); ++i) write_text(images[i], "no image");
  }
  for (const char* option : {"--limit", "--evaluate-limit"}) {
    require_tool("eval", at.model, "--data", at.data, option, "9", "--strict", "--json", at / "e.json");
    CHECK(read_json(at / "e.json")["images"] == 9);
    CHECK(run_tool("eval", at.model, "--data", at.data, option, "10", "--strict").code == 1);
  }
}

TEST_CASE("images that cannot be decoded are named and counted, and stop nothing unless told to", "[eval]") {
  const Workplace at;
  const fs::path empty = at.data / "class 0" / "empty.png", words = at.data / "class 3" / "words.jpg";
  const fs::path nowhere = at.data / "class 6" / "nowhere.png", cut = at.data / "class 6" / "a cut.jpg";
  const fs::path circle = at.data / "class 1" / "circle.png";
  write_text(empty, "");
  write_text(words, "no image");
  fs::create_symlink("elsewhere", nowhere);
  fs::create_symlink("circle.png", circle);
  write_text(cut, read_text(kGolden / "images" / "jpeg_444.jpg").substr(0, 300));
  const Outcome outcome = run_tool("eval", at.model, "--data", at.data, "--json", at / "e.json");
  CHECK(outcome.code == 0);
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 5);
  const json report = read_json(at / "e.json");
  CHECK(report["images"] == 26);
  const std::vector<std::pair<fs::path, std::string>> expected{
      {empty, "file is empty"},
      {circle, "cannot be read: Too many levels of symbolic links"},
      {words, "neither a JPEG nor a PNG image"},
      {cut, "Premature end of JPEG file"},
      {nowhere, "cannot be read: No such file or directory"}};
  REQUIRE(report["failures"].size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [path, reason] = expected[i];
    CHECK(report["failures"][i] == json({{"file", path.string()}, {"reason", reason}}));
    CHECK(contains(outcome.err, "vbp: left out: " + path.string() + ": " + reason + "\n"));
  }
  CHECK(contains(outcome.out, " of 26 images, "));
  CHECK(contains(outcome.out, "\nimages left out: 5\n"));

  check_refusal(run_tool("eval", at.model, "--data", at.data, "--strict"), 1,
                {empty.string() + ": file is empty"});

  // A link to its own folder does not lead round in circles, and neither a pipe nor a device is read.
  fs::create_directory_symlink(".", at.data / "class 0" / "here");
  REQUIRE(::mkfifo((at.data / "class 0" / "pipe.png").c_str(), 0600) == 0);
  fs::create_symlink("/dev/zero", at.data / "class 0" / "zero.png");
  CHECK(run_tool("eval", at.model, "--data", at.data, "--json", at / "e.json").err == outcome.err);
  CHECK(read_json(at / "e.json")["images"] == 26);
}
