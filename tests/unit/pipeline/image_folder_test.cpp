#include "vbp/pipeline/image_folder.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "unit/pipeline/models.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/prune.hpp"

namespace {

using namespace vbp_test;
using vbp::Index;

/// The golden pictures, divided among one sub-folder a class.
struct Pictures {
  TemporaryFolder folder;

  Pictures() {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(kGolden / "images")) {
      if (entry.path().extension() != ".ppm") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::size_t i = 0;
    for (const fs::path& file : files) {
      const fs::path to = folder / ("class " + std::to_string(i++ % 7));
      fs::create_directories(to);
      fs::copy_file(file, to / file.filename());
    }
  }
};

/// The pixels and labels of a source, as one batch.
vbp::io::ImageBatch all_of(const vbp::ImageSource& images, const vbp::AnyModel& model) {
  vbp::io::ImageBatch batch;
  REQUIRE(images.pass({.preprocessing = model.preprocessing(), .batch = images.size()})->next(batch));
  return batch;
}

/// The labelled images of which no two have the same pixels: files may differ and pixels be the same.
std::vector<vbp::io::ImageEntry> distinct_pictures(const fs::path& folder, const vbp::AnyModel& model) {
  const auto entries = vbp::labelled_entries(folder, model);
  const vbp::Matrix<float> pixels = all_of(vbp::image_files(entries), model).pixels;
  std::vector<vbp::io::ImageEntry> distinct;
  for (Index i = 0; i < pixels.rows(); ++i) {
    const auto before = pixels.topRows(i).rowwise();
    const bool seen =
        std::any_of(before.begin(), before.end(), [&](const auto& row) { return row == pixels.row(i); });
    if (!seen) distinct.push_back(entries[static_cast<std::size_t>(i)]);
  }
  return distinct;
}

}  // namespace

TEST_CASE("images of a folder are those in memory", "[image_folder]") {
  const Pictures at;
  const vbp::AnyModel dense = small_vit();
  CHECK(vbp::labelled_image_folder(at.folder.path(), dense).size() == 26);
  const auto files = vbp::image_files(distinct_pictures(at.folder.path(), dense));
  const vbp::io::ImageBatch batch = all_of(files, dense);
  CHECK(batch.size() > 10);
  const auto memory = vbp::images_in_memory(batch.pixels, batch.labels);
  CHECK(vbp::evaluate(dense, files).hits == vbp::evaluate(dense, memory).hits);
  vbp::AnyModel by_files = dense, by_memory = dense;
  vbp::prune(by_files, files, {.rate = 0.5});
  vbp::prune(by_memory, memory, {.rate = 0.5});
  CHECK(by_files.fingerprint() == by_memory.fingerprint());
  CHECK(vbp::image_folder(at.folder.path(), {.limit = 7}).size() == 7);
}

TEST_CASE("an image that cannot be decoded is left out, or stops a strict run", "[image_folder]") {
  const Pictures at;
  const vbp::AnyModel model = small_vit();
  const fs::path broken = at.folder / "class 0" / "broken.png";
  std::ofstream(broken) << "no picture";
  const auto images = vbp::labelled_image_folder(at.folder.path(), model);
  const vbp::Evaluation result = vbp::evaluate(model, images);
  CHECK(result.images == 26);
  REQUIRE(result.failures.size() == 1);
  CHECK(result.failures[0].path == broken);
  CHECK_THROWS_AS(vbp::evaluate(model, images, {.strict = true}), vbp::FileError);
  CHECK_THROWS_AS(vbp::evaluate(model, vbp::image_folder(at.folder.path())), vbp::ValueError);
}

TEST_CASE("one file is classified as its pixels are", "[image_folder]") {
  const Pictures at;
  const vbp::AnyModel model = small_vit();
  const auto images = vbp::image_folder(at.folder.path(), {.limit = 1});
  const auto expected = vbp::classify(model, all_of(images, model).pixels).front();
  const auto seen = vbp::classify(model, fs::path(images.name(0)));
  REQUIRE(seen.size() == expected.size());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    CHECK(seen[i].index == expected[i].index);
    CHECK(seen[i].score == expected[i].score);
  }
  try {
    vbp::classify(model, at.folder / "missing.png");
    FAIL("classified");
  } catch (const vbp::FileError& error) {
    CHECK(error.path() == (at.folder / "missing.png").string());
  }
}
