#include <map>
#include <string>
#include <vector>

#include "tool/tool.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("export says what it has written", "[export]") {
  if (!VBP_HAS_ONNX) {
    WARN("skipped: vbp is built without ONNX");
    return;
  }
  const Workplace at;
  const fs::path out = at / "model.onnx", report = at / "report.json";
  require_tool("prune", at.model, "--calibrate", at.data, "--rate", "0.5", "--out", at / "pruned");
  for (const fs::path& model : {at.model, at / "pruned", kGolden / "convnext" / "widths.safetensors",
                                kGolden / "swin" / "widths.safetensors"}) {
    INFO(model.string());
    const std::string text = require_tool("export", model, "--onnx", out, "--json", report);
    const json written = read_json(report);
    CHECK(written["file_bytes"] == fs::file_size(out));
    CHECK(written["output"] == "logits");
    CHECK(written["outputs"] == 7);
    require_tool("info", model, "--json", report);
    const json known = read_json(report);
    CHECK(written["parameters"] == known["parameters"]);
    CHECK(written["blocks"] == known["blocks"]);
    // The values take four bytes each; names, nodes and metadata take some thousand more.
    CHECK(written["file_bytes"] > 4 * known["parameters"].get<std::size_t>());
    CHECK(written["file_bytes"] < 4 * known["parameters"].get<std::size_t>() + 90000);
    CHECK(contains(text, known["family"].get<std::string>() + " of "));
    const std::string bytes = read_text(out);
    const std::string block = known["blocks"].back()["name"];
    for (const std::string& part : std::vector<std::string>{"vbp", "images", "logits", "batch", "class_names",
                                                            "crop_pct", block + ".mlp.fc1.weight"}) {
      INFO(part);
      CHECK(contains(bytes, part));
    }
  }
  // The same model, the same bytes.
  const std::string first = read_text(out);
  require_tool("export", kGolden / "swin" / "widths.safetensors", "--onnx", out);
  CHECK(read_text(out) == first);
  require_tool("export", kGolden / "vit" / "plain.safetensors", "--image-size", "24", "--onnx", out, "--json",
               report);
  CHECK(contains(read_text(out),
                 "image_size\x12\x02"
                 "24"));
}

TEST_CASE("what export cannot do it refuses, and leaves the old file", "[export][refusal]") {
  const Workplace at;
  const fs::path out = at / "model.onnx";
  write_text(out, "the old file");
  fs::copy_file(kGolden / "hf" / "dinov2" / "model.safetensors", at / "alone.safetensors");
  const auto before = snapshot(at.folder.path());
  const auto check = [&](const Outcome& outcome, int code, std::initializer_list<std::string> parts) {
    check_refusal(outcome, code, parts);
    CHECK(snapshot(at.folder.path()) == before);
  };
  if (VBP_HAS_ONNX) {
    check(run_tool("export", at / "alone.safetensors", "--onnx", out), 1,
          {(at / "alone.safetensors").string() + ": nothing says", "--set mean=..."});
  } else {
    check(run_tool("export", at.model, "--onnx", out), 1, {out.string() + ": this build of vbp has no ONNX"});
  }
  check(run_tool("export", at.model), 2, {"--onnx is required"});
  check(run_tool("export", at.model, "--onnx", ""), 2, {"--onnx: is empty"});
  check(run_tool("export", at.model, "--onnx", at.model), 1, {"would overwrite", "which is read"});
  check(run_tool("export", at.model, "--onnx", at / "none" / "x"), 1, {"its folder does not exist"});
  check(run_tool("export", at.model, "--onnx", at.data), 1, {at.data.string() + ": is a folder, not a file"});
  check(run_tool("export", at.model, "--onnx", out, "--json", out), 1,
        {"cannot be the file of both --onnx and --json"});
  check(run_tool("export", at.data, "--onnx", out), 1, {at.data.string()});
}
