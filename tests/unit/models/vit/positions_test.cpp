#include "vbp/models/vit/positions.hpp"

#include <cmath>
#include <filesystem>
#include <string>

#include "support/catch.hpp"
#include "vbp/core/error.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/vit/checkpoint.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;

const std::filesystem::path kGolden = std::filesystem::path(VBP_TEST_DIR) / "golden" / "vit";

/// A tensor [1, rows, columns].
Matrix<float> read(const vbp::io::SafetensorsFile& file, const std::string& name) {
  const auto& shape = file.tensor(name).shape;
  return file.read_matrix<float>(name, shape.at(1), shape.at(2));
}

/// Largest difference over the largest magnitude.
double difference(const Matrix<float>& actual, const Matrix<float>& expected) {
  REQUIRE(actual.rows() == expected.rows());
  REQUIRE(actual.cols() == expected.cols());
  return static_cast<double>((actual - expected).cwiseAbs().maxCoeff() / expected.cwiseAbs().maxCoeff());
}

// PyTorch sums at most a few dozen products in float32, and so rounds to some units in the last place.
constexpr double kTolerance = 2e-6;

}  // namespace

TEST_CASE("positions are resampled as timm does it", "[vit][positions]") {
  const vbp::io::SafetensorsFile file(kGolden / "pos_embed.safetensors");
  const Matrix<float> source = read(file, "source");
  int grids = 0;
  for (const std::string& name : file.names()) {
    if (!name.starts_with("grid.")) continue;
    INFO(name);
    const std::size_t cross = name.find('x');
    const vbp::PatchGrid grid{std::stol(name.substr(5)), std::stol(name.substr(cross + 1))};
    const Matrix<float> resampled = vbp::resample_positions(source, 1, {7, 7}, grid);
    CHECK(difference(resampled, read(file, name)) < kTolerance);
    CHECK(resampled.row(0) == source.row(0));
    ++grids;
  }
  CHECK(grids >= 8);
}

TEST_CASE("a model for another image size has timm's positions", "[vit][positions]") {
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename().string();
    const std::size_t at = name.find(".size");
    if (at == std::string::npos) continue;
    INFO(name);
    const auto model =
        vbp::load_checkpoint<vbp::VisionTransformer<float>>(kGolden / (name.substr(0, at) + ".safetensors"))
            .model;
    const Index size = std::stol(name.substr(at + 5));
    const auto resized = vbp::with_image_size(model, size);
    CHECK(resized.config.image_size == size);
    CHECK(difference(resized.positions, read(vbp::io::SafetensorsFile(entry.path()), "pos_embed")) <
          kTolerance);
    CHECK_NOTHROW(resized.validate());
    CHECK(resized.blocks[0].fc1.weight == model.blocks[0].fc1.weight);
    ++checked;
  }
  CHECK(checked >= 10);
}

TEST_CASE("resampling keeps a constant and, inside, a slope", "[vit][positions]") {
  Matrix<double> positions(10 * 10, 3);
  for (Index row = 0; row < 10; ++row) {
    for (Index column = 0; column < 10; ++column) {
      positions.row(row * 10 + column) << 2.5, static_cast<double>(row) + 0.5,
          static_cast<double>(column) + 0.5;
    }
  }
  for (const Index size : {5, 10, 20, 30}) {
    const auto resampled = vbp::resample_positions(positions, 0, {10, 10}, {size, size});
    CHECK((resampled.col(0).array() - 2.5).abs().maxCoeff() < 1e-14);
    // A kernel that is symmetric and reproduces lines gives each output the coordinate of its centre.
    const double scale = 10.0 / static_cast<double>(size);
    const double center = (static_cast<double>(size / 2) + 0.5) * scale;
    const Index token = size / 2 * size + size / 2;
    CHECK(resampled(token, 1) == Approx(center).epsilon(1e-12));
    CHECK(resampled(token, 2) == Approx(center).epsilon(1e-12));
    CHECK(resampled(token - 1, 1) == Approx(center).epsilon(1e-12));
  }
  CHECK(vbp::resample_positions(positions, 0, {10, 10}, {10, 10}) == positions);
}

TEST_CASE("sizes that cannot be are refused", "[vit][positions]") {
  const Matrix<float> positions = Matrix<float>::Ones(17, 2);
  CHECK_THROWS_AS(vbp::resample_positions(positions, 0, {4, 4}, {2, 2}), vbp::ShapeError);
  CHECK_THROWS_AS(vbp::resample_positions(positions, -1, {6, 3}, {2, 2}), vbp::ShapeError);
  CHECK_THROWS_AS(vbp::resample_positions(positions, 1, {4, 4}, {2, 0}), vbp::ValueError);
  CHECK_THROWS_AS(vbp::resample_positions(positions, 17, {0, 4}, {2, 2}), vbp::ValueError);
  const auto model = vbp::make_model<vbp::VisionTransformer<float>>({.architecture = "",
                                                                     .image_size = 16,
                                                                     .patch_size = 4,
                                                                     .dim = 2,
                                                                     .heads = 1,
                                                                     .hidden_widths = {3},
                                                                     .classes = 2});
  CHECK_THROWS_AS(vbp::with_image_size(model, 18), vbp::ValueError);
  CHECK_THROWS_AS(vbp::with_image_size(model, 0), vbp::ValueError);
  CHECK_THROWS_AS(vbp::with_image_size(model, -4), vbp::ValueError);
}
