#include <string>
#include <vector>

#include "support/swin.hpp"
#include "vbp/models/swin/forward.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::MatrixView;
using vbp::SwinConfig;
using vbp::SwinInference;
using vbp::SwinTransformer;
using vbp_test::draw_swin;
using vbp_test::gaussian;
using vbp_test::golden_swin;
using vbp_test::golden_swin_tensor;
using vbp_test::relative_distance;
using vbp_test::small_swin;

/// Networks of a handful of blocks, each of which passes on what it was given with a factor of a few.
constexpr double kTolerance = 1e-5;

}  // namespace

TEST_CASE("the logits and hidden activations of Swin Transformers are timm's", "[swin][inference]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const SwinTransformer<float> model = golden_swin(name);
    SwinInference<float> inference(model, vbp::Context(1));
    const Matrix<float> inputs = golden_swin_tensor(name, "inputs").cast<float>();
    Index blocks = 0;
    const Matrix<float> logits = inference(inputs, [&](Index block, const MatrixView<float>& hidden) {
      INFO("block " << block);
      REQUIRE(block == blocks++);
      const Matrix<double> expected = golden_swin_tensor(name, "hidden." + std::to_string(block));
      REQUIRE(hidden.rows() == expected.rows());
      REQUIRE(hidden.rows() == inputs.rows() * model.config.pixels(model.config.stage_of(block)));
      REQUIRE(hidden.cols() == expected.cols());
      CHECK(relative_distance(Matrix<float>(hidden), expected) < kTolerance);
    });
    CHECK(blocks == 5);
    const Matrix<double> expected = golden_swin_tensor(name, "logits");
    CHECK(relative_distance(logits, expected) < kTolerance);
    CHECK(relative_distance(inference(inputs), logits) == 0.0);
  }
}

TEST_CASE("double Swin Transformers are as exact as their type", "[swin][inference]") {
  const SwinTransformer<double> model = vbp::cast<double>(golden_swin("widths"));
  SwinInference<double> inference(model, vbp::Context(1));
  const Matrix<double> logits = inference(golden_swin_tensor("widths", "inputs"));
  CHECK(relative_distance(logits, golden_swin_tensor("widths", "logits")) < 1e-13);
}

TEST_CASE("a Swin Transformer gives the same bits for any number of threads and in any batch",
          "[swin][inference]") {
  SwinConfig config = small_swin();
  config.image_size = 60;  // maps of 15, 8 and 4 pixels a side
  config.dims = {20, 130, 40};
  config.heads = {2, 5, 1};
  const SwinTransformer<float> model = draw_swin<float>(config, 1);
  const Matrix<float> images = gaussian<float>(2, 5, config.image_elements());
  SwinInference<float> one(model, vbp::Context(1));
  const Matrix<float> expected = one(images);
  REQUIRE(expected.allFinite());
  for (const int threads : {2, 3, 7}) {
    SwinInference<float> several(model, vbp::Context(threads));
    CHECK(several(images) == expected);
    CHECK(several(images.bottomRows(1)) == expected.bottomRows(1));
    CHECK(several(images.topRows(3)) == expected.topRows(3));
  }
}

TEST_CASE("a Swin Transformer without a head returns what its head would read", "[swin][inference]") {
  SwinTransformer<double> model = draw_swin<double>(small_swin(), 3);
  const Matrix<double> images = gaussian<double>(4, 2, model.config.image_elements());
  const Matrix<double> logits = SwinInference<double>(model, vbp::Context(1))(images);
  const Matrix<double> weight = model.head.weight;
  const vbp::Vector<double> bias = model.head.bias;
  model.config.classes = 0;
  const Matrix<double> features = SwinInference<double>(model, vbp::Context(1))(images);
  REQUIRE(features.cols() == 16);
  const Matrix<double> expected = (features * weight.transpose()).rowwise() + bias.transpose();
  CHECK(relative_distance(logits, expected) < 1e-13);
}

TEST_CASE("the parts of a Swin Transformer's forward pass make up the whole", "[swin][inference]") {
  const SwinConfig config = small_swin();
  const SwinTransformer<float> model = draw_swin<float>(config, 5);
  SwinInference<float> inference(model, vbp::Context(2));
  const Matrix<float> images = gaussian<float>(6, 3, config.image_elements());
  const Matrix<float> map = inference.embedded(images);
  CHECK(map.rows() == 3 * 49);
  CHECK(map.cols() == 6);
  const Matrix<float> next = inference.after_transition(1, map);
  CHECK(next.rows() == 3 * 16);
  CHECK(next.cols() == 10);
  const Matrix<float> last = inference.after_transition(2, next);
  CHECK(last.rows() == 3 * 4);
  CHECK(last.cols() == 16);
  CHECK(inference.outputs_of(last).cols() == 5);
  CHECK_THROWS_AS(inference.after_transition(2, map), vbp::ShapeError);
  CHECK_THROWS_AS(inference.outputs_of(gaussian<float>(1, 4, 15)), vbp::ShapeError);
  CHECK(inference.after_transition(1, Matrix<float>(0, 6)).rows() == 0);
}

TEST_CASE("a Swin Transformer refuses images of another size, and takes none", "[swin][inference]") {
  const SwinTransformer<float> model = draw_swin<float>(small_swin(), 7);
  SwinInference<float> inference(model, vbp::Context(1));
  CHECK_THROWS_AS(inference(gaussian<float>(1, 2, model.config.image_elements() - 1)), vbp::ShapeError);
  CHECK(inference(Matrix<float>(0, model.config.image_elements())).rows() == 0);
}

TEST_CASE("a map that is smaller than its window takes the middle of the table", "[swin][inference]") {
  SwinConfig config = small_swin();
  const SwinTransformer<float> model = draw_swin<float>(config, 8);
  REQUIRE(config.window(2) == 2);
  REQUIRE(config.windows[2] == 3);
  // The same network with a table for windows of two: the places that such a window has.
  config.windows[2] = 2;
  SwinTransformer<float> small = model;
  small.config = config;
  Matrix<float>& table = small.blocks[4].position_bias;
  const Matrix<float> whole = model.blocks[4].position_bias;
  table.resize(9, 4);
  for (Index row = 0; row < 3; ++row) {
    for (Index column = 0; column < 3; ++column) {
      table.row(row * 3 + column) = whole.row((row + 1) * 5 + column + 1);
    }
  }
  const Matrix<float> images = gaussian<float>(9, 2, config.image_elements());
  CHECK(SwinInference<float>(small, vbp::Context(1))(images) ==
        SwinInference<float>(model, vbp::Context(1))(images));
}

TEST_CASE("where zeros are added to a shifted map matters where windows do not divide it",
          "[swin][inference]") {
  const auto both = [](SwinConfig config) {
    SwinTransformer<float> model = draw_swin<float>(config, 8);
    const Matrix<float> images = gaussian<float>(9, 2, config.image_elements());
    const Matrix<float> behind = SwinInference<float>(model, vbp::Context(1))(images);
    model.config.pad_before_shift = true;
    return relative_distance(SwinInference<float>(model, vbp::Context(1))(images), behind);
  };
  SwinConfig config = small_swin();
  CHECK(both(config) > 1e-3);
  config.image_size = 24;  // maps of 6, 3 and 2 pixels a side
  config.windows = {3, 3, 3};
  CHECK(both(config) == 0.0);
}

TEST_CASE("a Swin Transformer's inference can be moved and writes into any rows", "[swin][inference]") {
  for (const Index classes : {5, 0}) {
    auto config = vbp_test::small_swin();
    config.classes = classes;
    const auto images = vbp_test::gaussian<float>(3, 3, config.image_elements());
    SwinInference<float> first(vbp_test::draw_swin<float>(config, 11), vbp::Context(2));
    const Matrix<float> expected = first(images);
    SwinInference<float> second(std::move(first));
    Matrix<float> wide = Matrix<float>::Constant(3, expected.cols() + 2, 7.0F);
    second.run(images, wide.middleCols(1, expected.cols()));
    CHECK(Matrix<float>(wide.middleCols(1, expected.cols())) == expected);
    CHECK((wide.leftCols(1).array() == 7.0F).all());
    CHECK((wide.rightCols(1).array() == 7.0F).all());
    CHECK_THROWS_AS(second.run(images, wide), vbp::ShapeError);
  }
}
