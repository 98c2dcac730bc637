#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tool/tool.hpp"
#include "vbp/io/safetensors.hpp"

namespace {

using namespace vbp_test;

using Pair = std::pair<std::string, std::string>;

/// Value and origin of every setting in a report of vbp info.
std::map<std::string, Pair> values_of(const json& report) {
  std::map<std::string, Pair> values;
  for (const json& value : report["values"]) values[value["key"]] = {value["value"], value["origin"]};
  return values;
}

/// The number of elements in all tensors of a file.
std::int64_t elements_of(const fs::path& path) {
  const vbp::io::SafetensorsFile file(path);
  std::int64_t elements = 0;
  for (const auto& [name, view] : file.tensors()) elements += view.size();
  return elements;
}

}  // namespace

TEST_CASE("info says of every value where it comes from", "[info]") {
  const Workplace at;
  const fs::path report = at / "info.json";
  const std::string text =
      require_tool("info", at.model, "--set", "num_heads=3", "--set", "crop_pct=0.5", "--json", report);
  auto values = values_of(read_json(report));
  CHECK(values["num_heads"] == Pair("3", "option"));
  CHECK(values["crop_pct"] == Pair("0.5", "option"));
  CHECK(values["architecture"] == Pair("vit_golden", "metadata"));
  CHECK(values["layer_norm_eps"] == Pair("1e-06", "metadata"));
  CHECK(values["mean"] == Pair("[0.485,0.456,0.406]", "metadata"));
  CHECK(values["dim"] == Pair("24", "shapes"));
  CHECK(values["hidden_widths"] == Pair("[48,48]", "shapes"));
  CHECK(values["layer_scale"] == Pair("false", "shapes"));
  CHECK(values["activation"] == Pair("gelu", "default of timm"));
  for (const auto& [key, value] : values) {
    INFO(key);
    CHECK(contains(text, "\n" + key + " "));
    CHECK(contains(text, value.second + "\n"));
  }

  require_tool("info", kGolden / "hf" / "vit" / "model.safetensors", "--json", report);
  values = values_of(read_json(report));
  CHECK(values["num_heads"] == Pair("2", "config.json"));
  CHECK(values["layer_norm_eps"] == Pair("1e-12", "config.json"));
  CHECK(values["std"] == Pair("[0.5,0.5,0.5]", "preprocessor_config.json"));
  CHECK(values["interpolation"] == Pair("bilinear", "preprocessor_config.json"));
  CHECK(values["global_pool"] == Pair("token", "default of Hugging Face"));

  RawModel named(at.model);
  named.header.erase("__metadata__");
  named.metadata() = {{"architecture", "vit_small_patch14_dinov2.lvd142m"}};
  require_tool("info", named.write(at / "named.safetensors"), "--json", report);
  values = values_of(read_json(report));
  CHECK(values["layer_norm_eps"] == Pair("1e-06", "architecture name"));
  CHECK(values["mean"] == Pair("[0.485,0.456,0.406]", "architecture name"));
}

TEST_CASE("info guesses nothing and names what is unknown", "[info]") {
  const TemporaryFolder folder;
  fs::copy_file(kGolden / "hf" / "dinov2" / "model.safetensors", folder / "alone.safetensors");
  const std::string text = require_tool("info", folder / "alone.safetensors", "--json", folder / "info.json");
  const json report = read_json(folder / "info.json");
  CHECK(report["unresolved"] == json({"num_heads", "layer_norm_eps", "mean", "std"}));
  CHECK(report["ignored"] == json({"dinov2.embeddings.mask_token"}));
  for (const json& key : report["unresolved"]) {
    CHECK(contains(text, "--set " + key.get<std::string>() + "=..."));
    CHECK_FALSE(values_of(report).contains(key));
  }
  CHECK(contains(text, "not used: dinov2.embeddings.mask_token\n"));

  // The other subcommands need a complete model.
  for (const char* command : {"eval", "calibrate"}) {
    const std::string out = std::string(command) == "eval" ? "--limit=1" : "--out=" + (folder / "s").string();
    check_refusal(
        run_tool(command, folder / "alone.safetensors", "--data", kGolden / "images", out), 1,
        {"alone.safetensors: nothing says num_heads, layer_norm_eps, mean, std", "--set num_heads="});
  }
  CHECK_FALSE(fs::exists(folder / "s"));
}

TEST_CASE("info counts parameters and multiplications, per layer and in all", "[info]") {
  const Workplace at;
  const fs::path model = kGolden / "vit" / "widths.safetensors";
  const std::vector<std::int64_t> widths{37, 16, 5};
  for (const std::int64_t size : {16, 24}) {
    const std::string text =
        require_tool("info", model, "--image-size", std::to_string(size), "--json", at / "info.json");
    const json report = read_json(at / "info.json");
    // Patches of 4 x 4 x 3, a class token, width 24, 7 classes; a layer norm before each half of a block and
    // one at the end.
    const std::int64_t patches = size * size / 16, tokens = patches + 1, dim = 24;
    std::int64_t macs = patches * 48 * dim + dim * 7;
    for (const std::int64_t width : widths) {
      macs += tokens * dim * 4 * dim + 2 * tokens * tokens * dim + 2 * tokens * dim * width;
    }
    CHECK(report["macs"] == macs);
    CHECK(report["macs_fvcore"] == macs + 5 * tokens * dim * 7);
    // The position embeddings are the only tensor whose shape depends on the size.
    const std::int64_t parameters = elements_of(model) + (patches - 16) * dim;
    CHECK(report["parameters"] == parameters);
    std::int64_t layer_parameters = 0, layer_macs = 0;
    for (const json& layer : report["layers"]) {
      layer_parameters += layer["parameters"].get<std::int64_t>();
      layer_macs += layer["macs"].get<std::int64_t>();
    }
    CHECK(layer_parameters == parameters);
    CHECK(layer_macs == macs);
    REQUIRE(report["blocks"].size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(report["blocks"][i]["name"] == "blocks." + std::to_string(i));
      CHECK(report["blocks"][i]["width"] == widths[i]);
    }
    CHECK(contains(text, "hidden widths: 37 16 5\n"));
  }
}
