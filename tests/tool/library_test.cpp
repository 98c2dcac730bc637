/// The tool and the library write the same files.

#include <string>

#include "tool/tool.hpp"
#include "vbp/pipeline/image_folder.hpp"
#include "vbp/pipeline/prune.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("prune of the library writes the tool's file", "[library]") {
  const Workplace at;
  for (const fs::path& file :
       {at.model, kGolden / "convnext" / "plain.safetensors", kGolden / "swin" / "plain.safetensors"}) {
    INFO(file.string());
    require_tool("prune", file, "--calibrate", at.data, "--rate", "0.5", "--out", at / "tool");
    vbp::AnyModel model = vbp::load_model(file);
    const auto images = vbp::image_folder(at.data);
    const auto result = vbp::prune(model, images, {.rate = 0.5});
    CHECK(result.report.method.name() == "greedy + sequential-all");
    vbp::save_model(at / "library", model);
    CHECK(read_text(at / "library") == read_text(at / "tool"));

    require_tool("calibrate", file, "--data", at.data, "--covariance", "--out", at / "statistics");
    require_tool("prune", file, "--statistics", at / "statistics", "--rate", "0.5", "--out", at / "tool");
    model = vbp::load_model(file);
    vbp::prune(model, at / "statistics", {.rate = 0.5});
    vbp::save_model(at / "library", model);
    CHECK(read_text(at / "library") == read_text(at / "tool"));
  }
}
