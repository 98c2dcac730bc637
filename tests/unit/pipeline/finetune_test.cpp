#include "vbp/pipeline/finetune.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"

namespace {

using namespace vbp_test;

vbp::FinetuneOptions three_epochs() {
  return {.training = {.epochs = 3, .batch = 4, .learning_rate = 1e-3}};
}

}  // namespace

TEST_CASE("every family is trained, and says how it went", "[pipeline_finetune]") {
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel before = vbp::load_model(file);
    vbp::AnyModel model = before;
    vbp::FinetuneOptions options = three_epochs();
    int steps = 0, weights = 0;
    std::vector<vbp::FinetuneEpoch> epochs;
    options.events.step = [&](const vbp::FinetuneStep&) { ++steps; };
    options.events.weights = [&](const vbp::AnyModel&) { ++weights; };
    options.events.epoch = [&](const vbp::FinetuneEpoch& epoch) { epochs.push_back(epoch); };
    options.validation = random_images(before, 5, 99);
    const auto result = vbp::finetune(model, nullptr, random_images(before, 10), options);
    CHECK(steps == 9);
    CHECK(weights == 3);
    REQUIRE(epochs.size() == 3);
    CHECK(epochs[2].epoch == 3);
    REQUIRE(epochs[2].validation.has_value());
    CHECK(epochs[2].validation->images == 5);
    CHECK(epochs[2].loss < epochs[0].loss);
    CHECK(result.bytes > 0);
    CHECK(model.fingerprint() != before.fingerprint());
  }
}

TEST_CASE("a cancelled run is resumed and ends with the bits of an unbroken one", "[pipeline_finetune]") {
  const TemporaryFolder folder;
  const vbp::AnyModel before = small_vit();
  const auto images = random_images(before, 10);
  vbp::AnyModel whole = before, resumed = before;
  vbp::finetune(whole, &before, images, three_epochs());

  vbp::FinetuneOptions options = three_epochs();
  options.state.file = folder / "run.state";
  options.state.metadata = [] { return vbp::io::Metadata{{"note", "half"}}; };
  CHECK_THROWS_AS(vbp::finetune(resumed, &before, images, options, cancelled_after(5)), vbp::Cancelled);
  REQUIRE(fs::exists(options.state.file));
  options.state.resume = true;
  std::string note;
  options.state.check = [&](const vbp::io::Metadata& metadata) { note = metadata.find("note")->second; };
  resumed = before;
  vbp::finetune(resumed, &before, images, options);
  CHECK(note == "half");
  CHECK(resumed.fingerprint() == whole.fingerprint());
}

TEST_CASE("images that are trained on must not be validated on", "[pipeline_finetune]") {
  vbp::AnyModel model = small_vit();
  vbp::FinetuneOptions options = three_epochs();
  options.validation = random_images(model, 5);
  CHECK_THROWS_AS(vbp::finetune(model, nullptr, random_images(model, 10), options), vbp::FileError);
}

TEST_CASE("a teacher is of the student's family", "[pipeline_finetune]") {
  vbp::AnyModel model = small_vit();
  const vbp::AnyModel teacher = vbp::load_model(kGolden / "swin" / "plain.safetensors");
  CHECK_THROWS_AS(vbp::finetune(model, &teacher, random_images(model, 4), three_epochs()), vbp::ValueError);
}
