#include "vbp/pipeline/any_model.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"

namespace {

using namespace vbp_test;

}  // namespace

TEST_CASE("a model of any family is loaded by one call", "[any_model]") {
  const std::vector<std::string> families{"Vision Transformer", "ConvNeXt", "Swin Transformer"};
  std::size_t i = 0;
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel model = vbp::load_model(file);
    const vbp::ModelDescription description = model.description();
    CHECK(description.family == families[i++]);
    CHECK(description.classes == 7);
    CHECK(description.outputs == 7);
    CHECK(description.blocks.size() == description.hidden_widths.size());
    CHECK(description.stages.empty() == (description.family == "Vision Transformer"));
    CHECK(model.path() == file.string());
    CHECK(model.cost().parameters() > 0);
    CHECK_NOTHROW(model.require_complete());
  }
}

TEST_CASE("a model that was saved is loaded again as it was", "[any_model]") {
  const TemporaryFolder folder;
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel model = vbp::load_model(file);
    vbp::save_model(folder / "copy.safetensors", model);
    const vbp::AnyModel copy = vbp::load_model(folder / "copy.safetensors");
    CHECK(copy.fingerprint() == model.fingerprint());
    CHECK(copy.class_names() == model.class_names());
    CHECK(copy.preprocessing() == model.preprocessing());
  }
}

TEST_CASE("what is said of a model goes before what its file says", "[any_model]") {
  const fs::path file = kGolden / "vit" / "plain.safetensors";
  const vbp::AnyModel model = vbp::load_model(file, {.settings = {{"mean", "0.25"}}, .image_size = 24});
  CHECK(model.preprocessing().image_size == 24);
  CHECK(model.preprocessing().mean[0] == 0.25);
  CHECK_THROWS_AS(vbp::load_model(file, {.settings = {{"image_size", "24"}}, .image_size = 24}),
                  vbp::ValueError);
  CHECK_THROWS_AS(vbp::load_model(file, {.settings = {{"nonsense", "1"}}}), vbp::ValueError);
}

TEST_CASE("an error about a model names its file", "[any_model]") {
  const TemporaryFolder folder;
  const fs::path words = folder / "words.safetensors";
  std::ofstream(words) << "no model";
  for (const fs::path& file : {words, folder / "missing.safetensors"}) {
    try {
      vbp::load_model(file);
      FAIL("loaded " << file);
    } catch (const vbp::FileError& error) {
      CHECK(error.path() == file.string());
      CHECK(std::string(error.what()).starts_with(file.string() + ": "));
    }
  }
}

TEST_CASE("widths and costs follow from the weights", "[any_model]") {
  vbp::AnyModel model = small_vit();
  const vbp::Index before = model.description().hidden_widths[0];
  const std::int64_t parameters = model.cost().parameters();
  vbp::Mlp<float>& mlp = *model.mlps()[0];
  mlp.set_weights(mlp.fc1.weight.topRows(before - 5), mlp.fc1.bias.head(before - 5),
                  mlp.fc2.weight.leftCols(before - 5), mlp.fc2.bias);
  CHECK(model.description().hidden_widths[0] == before - 5);
  CHECK(parameters - model.cost().parameters() == 5 * (mlp.in() + 1 + mlp.out()));
  CHECK(model.output_weight(0).cols() == before - 5);
  CHECK(model.resource("parameters", &vbp::Cost::parameters).per_neuron[0] == mlp.in() + 1 + mlp.out());
}

TEST_CASE("a configuration becomes a model of its family with first weights", "[any_model]") {
  const TemporaryFolder folder;
  const fs::path config = folder / "config.json";
  std::ofstream(config) << R"({"image_size": 8, "patch_size": 4, "dim": 8, "depth": 2, "num_heads": 2,
                              "num_classes": 0})";
  vbp::AnyModel model = vbp::untrained_model(config);
  CHECK(model.description().family == "Vision Transformer");
  CHECK(model.description().hidden_widths == std::vector<vbp::Index>{32, 32});
  CHECK(model.description().classes == 0);
  model.set_class_names({"cat", "dog", "hedgehog"});
  vbp::initialise(model, 1);
  CHECK(model.description().classes == 3);
  vbp::AnyModel same = vbp::untrained_model(config, {{"num_classes", "3"}});
  vbp::initialise(same, 1);
  CHECK(same.fingerprint() == model.fingerprint());
  vbp::initialise(same, 2);
  CHECK(same.fingerprint() != model.fingerprint());
}
