#include <string>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("predict prints the likeliest classes of each image", "[predict]") {
  const Workplace at;
  const std::vector<fs::path> images = golden_images();
  const std::string text =
      require_tool("predict", at.model, images[0], images[1], "--top", "3", "--json", at / "report.json");
  const json report = read_json(at / "report.json");
  CHECK(report["model"] == at.model.string());
  CHECK(report["failures"] == json::array());
  REQUIRE(report["images"].size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const json& image = report["images"][i];
    CHECK(image["file"] == images[i].string());
    CHECK(contains(text, images[i].string()));
    REQUIRE(image["classes"].size() == 3);
    double last = 1.0;
    for (const json& seen : image["classes"]) {
      CHECK(seen["name"] == "class " + std::to_string(seen["class"].get<int>()));
      CHECK(contains(text, seen["name"]));
      CHECK(seen["score"] > 0.0);
      CHECK(seen["score"] <= last);
      last = seen["score"];
    }
  }
  // All seven probabilities are one together.
  require_tool("predict", at.model, images[0], "--top", "100", "--json", at / "report.json");
  const json whole = read_json(at / "report.json");
  REQUIRE(whole["images"][0]["classes"].size() == 7);
  double sum = 0.0;
  for (const json& seen : whole["images"][0]["classes"]) sum += seen["score"].get<double>();
  CHECK(sum == Approx(1.0));
}

TEST_CASE("predict agrees with eval", "[predict]") {
  const Workplace at;
  const std::vector<fs::path> images = golden_images();
  std::vector<std::string> command =
      tool_command("predict", at.model, "--json", at / "predict.json", "--batch", "7");
  for (const fs::path& image : images) command.push_back(image.string());
  REQUIRE(Process(command).wait().code == 0);
  require_tool("eval", at.model, "--data", at.data, "--json", at / "eval.json");
  int correct = 0;
  const json report = read_json(at / "predict.json");
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (report["images"][i]["classes"][0]["class"] == i % 7) ++correct;
  }
  CHECK(read_json(at / "eval.json")["top1"].get<double>() == Approx(correct / 26.0));
}

TEST_CASE("an image that cannot be read is reported after the others, with exit code 1", "[predict]") {
  const Workplace at;
  const fs::path image = golden_images()[0], missing = at / "missing.png", broken = at / "broken.png";
  write_text(broken, "no picture");
  const Outcome outcome = run_tool("predict", at.model, missing, image, broken, "--json", at / "report.json");
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.out, image.string()));
  CHECK(contains(outcome.out, "images left out: 2"));
  CHECK(outcome.err.starts_with("vbp: left out: " + missing.string() + ": "));
  CHECK(contains(outcome.err, "vbp: left out: " + broken.string() + ": neither a JPEG nor a PNG image\n"));
  const json report = read_json(at / "report.json");
  CHECK(report["images"].size() == 1);
  CHECK(report["failures"].size() == 2);
  // A strict run stops there.
  check_refusal(run_tool("predict", at.model, missing, image, "--strict"), 1, {missing.string() + ": "});
}

TEST_CASE("predict refuses what cannot be", "[predict]") {
  const Workplace at;
  const fs::path image = golden_images()[0];
  check_refusal(run_tool("predict", at.model), 2, {"IMAGE is required"});
  check_refusal(run_tool("predict", at.model, image, "--top", "0"), 2, {"--top: \"0\""});
  check_refusal(run_tool("predict", at.model, image, "--json", at.model), 1, {"would overwrite"});
  RawModel raw(at.model);
  for (const char* name : {"head.weight", "head.bias"}) {
    raw.replace(name, {0}, {});
    raw.header.erase(name);
  }
  for (const char* key : {"num_classes", "class_names"}) raw.metadata().erase(key);
  const fs::path headless = raw.write(at / "headless.safetensors");
  check_refusal(run_tool("predict", headless, image), 1,
                {headless.string() + ": has no classification head"});
}
