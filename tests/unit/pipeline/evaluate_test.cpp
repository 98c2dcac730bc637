#include "vbp/pipeline/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"
#include "vbp/pipeline/classify.hpp"
#include "vbp/pipeline/inference.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

/// The place of a class among the logits, the largest first; of equal ones the lower class comes first.
Index place_of(const vbp::Matrix<float>& logits, Index image, Index label) {
  Index place = 0;
  for (Index other = 0; other < logits.cols(); ++other) {
    const float a = logits(image, other), b = logits(image, label);
    if (a > b || (a == b && other < label)) ++place;
  }
  return place;
}

}  // namespace

TEST_CASE("top-1 and top-5 count the images whose class has the largest logits", "[evaluate]") {
  for (const fs::path& file : model_files()) {
    INFO(file.string());
    const vbp::AnyModel model = vbp::load_model(file);
    const vbp::Matrix<float> pixels = random_pixels(model, 21);
    const vbp::Matrix<float> logits = (*vbp::make_inference(model))(pixels);
    Index correct = 0, correct5 = 0;
    std::string hits;
    for (Index i = 0; i < logits.rows(); ++i) {
      const Index place = place_of(logits, i, i % 7);
      correct += place < 1 ? 1 : 0;
      correct5 += place < 5 ? 1 : 0;
      hits += place < 1 ? '1' : '0';
    }
    const vbp::Evaluation result = vbp::evaluate(model, random_images(model, 21), {.batch = 4});
    CHECK(result.images == 21);
    CHECK(result.correct == correct);
    CHECK(result.correct5 == correct5);
    CHECK(result.hits == hits);
    CHECK(result.top1() == Approx(static_cast<double>(correct) / 21.0));
  }
}

TEST_CASE("an evaluation needs labels of the model's classes", "[evaluate]") {
  const vbp::AnyModel model = small_vit();
  CHECK_THROWS_AS(vbp::evaluate(model, vbp::images_in_memory(random_pixels(model, 2))), vbp::ValueError);
  CHECK_THROWS_AS(vbp::evaluate(model, vbp::images_in_memory(random_pixels(model, 2), {0, 7})),
                  vbp::ValueError);
  CHECK_THROWS_AS(vbp::images_in_memory(random_pixels(model, 2), {0}), vbp::ShapeError);
  CHECK_THROWS_AS(vbp::evaluate(model, random_images(model, 8), {.batch = 2}, cancelled_after(2)),
                  vbp::Cancelled);
}

TEST_CASE("an image that was calibrated on is refused for evaluation, by name", "[evaluate]") {
  const vbp::AnyModel model = small_vit();
  vbp::Matrix<float> pixels = random_pixels(model, 3, 8);
  const auto calibration = random_images(model, 5);
  std::vector<vbp::io::Hash128> hashes;
  for (const auto& hash : calibration.hashes()) hashes.push_back(hash.value());
  CHECK_NOTHROW(vbp::require_disjoint(vbp::images_in_memory(pixels), hashes));
  pixels.row(2) = random_pixels(model, 5).row(4);
  try {
    vbp::require_disjoint(vbp::images_in_memory(pixels), hashes);
    FAIL("accepted");
  } catch (const vbp::FileError& error) {
    CHECK(error.path() == "image 2");
  }
}

TEST_CASE("images in memory come in the order that is asked for", "[image_source]") {
  const vbp::AnyModel model = small_vit();
  const vbp::Matrix<float> pixels = random_pixels(model, 5);
  const auto images = vbp::images_in_memory(pixels, {0, 1, 2, 3, 4});
  CHECK(images.size() == 5);
  CHECK(images.label(3) == 3);
  const auto pass = images.pass({.batch = 2, .order = std::vector<Index>{4, 0, 2}});
  vbp::io::ImageBatch batch;
  REQUIRE(pass->next(batch));
  CHECK(batch.labels == std::vector<Index>{4, 0});
  CHECK(batch.pixels.row(0) == pixels.row(4));
  REQUIRE(pass->next(batch));
  CHECK(batch.labels == std::vector<Index>{2});
  CHECK(pass->position() == 3);
  CHECK_FALSE(pass->next(batch));
  CHECK_THROWS_AS(images.pass({.order = std::vector<Index>{5}}), vbp::ValueError);
  CHECK_THROWS_AS(images.pass({.batch = 0}), vbp::ValueError);
}

TEST_CASE("classify gives the likeliest classes with names and probabilities", "[classify]") {
  const vbp::AnyModel model = small_vit();
  const vbp::Matrix<float> pixels = random_pixels(model, 3);
  const vbp::Matrix<float> logits = (*vbp::make_inference(model))(pixels);
  const auto all = vbp::classify(model, pixels, {.top = 100});
  REQUIRE(all.size() == 3);
  for (Index i = 0; i < 3; ++i) {
    const auto& classes = all[static_cast<std::size_t>(i)];
    REQUIRE(classes.size() == 7);
    double sum = 0.0, exponentials = 0.0;
    for (Index c = 0; c < 7; ++c) exponentials += std::exp(static_cast<double>(logits(i, c)));
    for (std::size_t place = 0; place < classes.size(); ++place) {
      const vbp::ClassScore& seen = classes[place];
      CHECK(place_of(logits, i, seen.index) == static_cast<Index>(place));
      CHECK(seen.name == model.class_names()[static_cast<std::size_t>(seen.index)]);
      CHECK(seen.score == Approx(std::exp(static_cast<double>(logits(i, seen.index))) / exponentials));
      sum += seen.score;
    }
    CHECK(sum == Approx(1.0));
  }
  const auto two = vbp::classify(model, pixels, {.top = 2});
  CHECK(two[1].size() == 2);
  CHECK(two[1][0].index == all[1][0].index);
  CHECK_THROWS_AS(vbp::classify(model, pixels, {.top = 0}), vbp::ValueError);
  CHECK_THROWS_AS(vbp::classify(model, vbp::Matrix<float>(1, 5)), vbp::ShapeError);
}
