#include "vbp/pipeline/calibrate.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/vit/forward.hpp"

namespace {

using namespace vbp_test;

void check_same(const vbp::CalibrationResult& a, const vbp::CalibrationResult& b) {
  CHECK(a.calibration.images == b.calibration.images);
  REQUIRE(a.calibration.statistics.size() == b.calibration.statistics.size());
  REQUIRE(a.has_covariances() == b.has_covariances());
  for (std::size_t i = 0; i < a.calibration.statistics.size(); ++i) {
    CHECK(a.calibration.statistics[i].count() == b.calibration.statistics[i].count());
    CHECK(a.calibration.statistics[i].m2() == b.calibration.statistics[i].m2());
    if (a.has_covariances()) CHECK(a.covariance(i).covariance() == b.covariance(i).covariance());
  }
}

}  // namespace

TEST_CASE("a calibration observes the hidden activations of its images", "[calibrate]") {
  const vbp::AnyModel model = small_vit();
  const vbp::Matrix<float> pixels = random_pixels(model, 10);
  const auto seen = vbp::calibrate(model, vbp::images_in_memory(pixels), {.covariances = true, .batch = 4});
  CHECK(seen.images == 10);
  CHECK(seen.calibration.names == model.description().blocks);
  CHECK(seen.calibration.model == model.fingerprint());
  CHECK(seen.moments() == "variance,covariance");
  CHECK_FALSE(seen.memory_use().has_value());

  const auto& vit = *model.get_if<vbp::VisionTransformer<float>>();
  vbp::VitInference<float> inference(vit);
  auto statistics = vbp::hidden_statistics(vbp::config_of(vit));
  for (const auto& [first, count] : {std::pair(0, 4), std::pair(4, 4), std::pair(8, 2)}) {
    vbp::observe_hidden<float>(inference, pixels.middleRows(first, count), statistics);
  }
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    CHECK(seen.calibration.statistics[i].mean() == statistics[i].mean());
    CHECK(seen.calibration.statistics[i].m2() == statistics[i].m2());
  }
}

TEST_CASE("an image that was seen before is left out", "[calibrate]") {
  const vbp::AnyModel model = small_vit();
  vbp::Matrix<float> pixels = random_pixels(model, 6);
  const auto expected = vbp::calibrate(model, vbp::images_in_memory(pixels));
  pixels.conservativeResize(8, Eigen::NoChange);
  pixels.bottomRows(2) = pixels.topRows(2);
  const auto seen = vbp::calibrate(model, vbp::images_in_memory(pixels));
  check_same(seen, expected);
  CHECK(seen.skipped.duplicates == std::vector<std::string>{"image 6", "image 7"});
}

TEST_CASE("a continued calibration is an unbroken one", "[calibrate]") {
  const vbp::AnyModel model = small_vit();
  const vbp::Matrix<float> pixels = random_pixels(model, 12);
  const vbp::CalibrateOptions options{.covariances = true, .batch = 4};
  const auto whole = vbp::calibrate(model, vbp::images_in_memory(pixels), options);

  auto parts = vbp::begin_calibration(model);
  vbp::continue_calibration(parts, model, vbp::images_in_memory(pixels.topRows(8)), options);
  CHECK(parts.images == 8);
  const TemporaryFolder folder;
  vbp::save_statistics(folder / "part", parts);
  parts = vbp::load_statistics(model, folder / "part");
  vbp::continue_calibration(parts, model, vbp::images_in_memory(pixels), options);
  CHECK(parts.images == 4);
  check_same(parts, whole);

  // Cancelled after its second batch it keeps that batch.
  auto broken = vbp::begin_calibration(model);
  CHECK_THROWS_AS(
      vbp::continue_calibration(broken, model, vbp::images_in_memory(pixels), options, cancelled_after(2)),
      vbp::Cancelled);
  CHECK(broken.images == 8);
  vbp::continue_calibration(broken, model, vbp::images_in_memory(pixels), options);
  check_same(broken, whole);
}

TEST_CASE("a memory limit changes no bit", "[calibrate]") {
  const TemporaryFolder folder;
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel model = vbp::load_model(file);
    const auto images = random_images(model, 6);
    vbp::CalibrateOptions options{.covariances = true, .batch = 4};
    const auto whole = vbp::calibrate(model, images, options);
    const auto widths = model.description().hidden_widths;
    const auto widest = *std::max_element(widths.begin(), widths.end());
    options.memory = {.bytes = static_cast<std::uint64_t>(vbp::Covariance<float>::bytes(widest)),
                      .folder = folder.path()};
    const auto limited = vbp::calibrate(model, images, options);
    CHECK(limited.passes > 1);
    CHECK(limited.calibration.covariances.empty());
    REQUIRE(limited.memory_use().has_value());
    CHECK(limited.memory_use()->bytes_in_files > 0);
    check_same(limited, whole);
    vbp::save_statistics(folder / "limited", limited);
    vbp::save_statistics(folder / "whole", whole);
    CHECK(read_file(folder / "limited") == read_file(folder / "whole"));
    --*options.memory.bytes;
    CHECK_THROWS_AS(vbp::calibrate(model, images, options), vbp::MemoryLimitError);
  }
}

TEST_CASE("statistics of another model or preprocessing are refused, and their file is named",
          "[calibrate]") {
  const TemporaryFolder folder;
  const vbp::AnyModel model = small_vit();
  const fs::path file = folder / "statistics";
  vbp::save_statistics(file, vbp::calibrate(model, random_images(model, 3)));
  const vbp::AnyModel swin = vbp::load_model(kGolden / "swin" / "plain.safetensors");
  const vbp::AnyModel brighter =
      vbp::load_model(kGolden / "vit" / "plain.safetensors", {.settings = {{"mean", "0.9"}}});
  for (const vbp::AnyModel* other : {&swin, &brighter}) {
    try {
      vbp::load_statistics(*other, file);
      FAIL("loaded");
    } catch (const vbp::FileError& error) {
      CHECK(error.path() == file.string());
    }
  }
}

TEST_CASE("what gradients need is asked for before the work", "[calibrate]") {
  const vbp::AnyModel model = small_vit();
  const auto unlabelled = vbp::images_in_memory(random_pixels(model, 3));
  CHECK_THROWS_AS(vbp::calibrate(model, unlabelled, {.gradient = true}), vbp::ValueError);
  const auto seen = vbp::calibrate(model, random_images(model, 3), {.gradient = true});
  REQUIRE(seen.gradient.size() == model.mlps().size());
  CHECK(seen.gradient[0].fc1.weight.norm() > 0.0);
}
