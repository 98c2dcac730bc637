#include <string>
#include <vector>

#include "support/convnext.hpp"
#include "vbp/models/convnext/forward.hpp"

namespace {

using vbp::ConvNext;
using vbp::ConvNextConfig;
using vbp::ConvNextInference;
using vbp::Index;
using vbp::Matrix;
using vbp::MatrixView;
using vbp_test::draw_convnext;
using vbp_test::gaussian;
using vbp_test::golden_convnext;
using vbp_test::golden_convnext_tensor;
using vbp_test::relative_distance;
using vbp_test::small_convnext;

/// Networks of a handful of blocks, each of which passes on what it was given with a factor of a few.
constexpr double kTolerance = 1e-5;

}  // namespace

TEST_CASE("the logits and hidden activations of ConvNeXt are timm's", "[convnext][inference]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const ConvNext<float> model = golden_convnext(name);
    ConvNextInference<float> inference(model, vbp::Context(1));
    const Matrix<float> inputs = golden_convnext_tensor(name, "inputs").cast<float>();
    Index blocks = 0;
    const Matrix<float> logits = inference(inputs, [&](Index block, const MatrixView<float>& hidden) {
      INFO("block " << block);
      REQUIRE(block == blocks++);
      const Matrix<double> expected = golden_convnext_tensor(name, "hidden." + std::to_string(block));
      REQUIRE(hidden.rows() == expected.rows());
      REQUIRE(hidden.rows() == inputs.rows() * model.config.pixels(model.config.stage_of(block)));
      REQUIRE(hidden.cols() == expected.cols());
      CHECK(relative_distance(Matrix<float>(hidden), expected) < kTolerance);
    });
    CHECK(blocks == 5);
    const Matrix<double> expected = golden_convnext_tensor(name, "logits");
    CHECK(relative_distance(logits, expected) < kTolerance);
    CHECK(relative_distance(inference(inputs), logits) == 0.0);
  }
}

TEST_CASE("double ConvNeXts are as exact as their type", "[convnext][inference]") {
  const ConvNext<double> model = vbp::cast<double>(golden_convnext("widths"));
  ConvNextInference<double> inference(model, vbp::Context(1));
  const Matrix<double> logits = inference(golden_convnext_tensor("widths", "inputs"));
  CHECK(relative_distance(logits, golden_convnext_tensor("widths", "logits")) < 1e-13);
}

TEST_CASE("a ConvNeXt gives the same bits for any number of threads and in any batch",
          "[convnext][inference]") {
  ConvNextConfig config = small_convnext();
  config.image_size = 60;  // maps of 15, 7 and 3 pixels a side
  config.dims = {20, 130, 40};
  const ConvNext<float> model = draw_convnext<float>(config, 1);
  const Matrix<float> images = gaussian<float>(2, 5, config.image_elements());
  ConvNextInference<float> one(model, vbp::Context(1));
  const Matrix<float> expected = one(images);
  REQUIRE(expected.allFinite());
  for (const int threads : {2, 3, 7}) {
    ConvNextInference<float> several(model, vbp::Context(threads));
    CHECK(several(images) == expected);
    CHECK(several(images.bottomRows(1)) == expected.bottomRows(1));
    CHECK(several(images.topRows(3)) == expected.topRows(3));
  }
}

TEST_CASE("a ConvNeXt without a head returns what its head would read", "[convnext][inference]") {
  ConvNext<double> model = draw_convnext<double>(small_convnext(), 3);
  const Matrix<double> images = gaussian<double>(4, 2, model.config.image_elements());
  const Matrix<double> logits = ConvNextInference<double>(model, vbp::Context(1))(images);
  const Matrix<double> weight = model.head.weight;
  const vbp::Vector<double> bias = model.head.bias;
  model.config.classes = 0;
  const Matrix<double> features = ConvNextInference<double>(model, vbp::Context(1))(images);
  REQUIRE(features.cols() == 16);
  const Matrix<double> expected = (features * weight.transpose()).rowwise() + bias.transpose();
  CHECK(relative_distance(logits, expected) < 1e-13);
}

TEST_CASE("the parts of a ConvNeXt's forward pass make up the whole", "[convnext][inference]") {
  const ConvNextConfig config = small_convnext();
  const ConvNext<float> model = draw_convnext<float>(config, 5);
  ConvNextInference<float> inference(model, vbp::Context(2));
  const Matrix<float> images = gaussian<float>(6, 3, config.image_elements());
  const Matrix<float> map = inference.embedded(images);
  CHECK(map.rows() == 3 * 36);
  CHECK(map.cols() == 6);
  const Matrix<float> next = inference.after_transition(1, map);
  CHECK(next.rows() == 3 * 9);
  CHECK(next.cols() == 10);
  const Matrix<float> last = inference.after_transition(2, next);
  CHECK(last.rows() == 3);
  CHECK(last.cols() == 16);
  CHECK(inference.outputs_of(last).cols() == 5);
  CHECK_THROWS_AS(inference.after_transition(2, map), vbp::ShapeError);
  CHECK_THROWS_AS(inference.outputs_of(gaussian<float>(1, 2, 15)), vbp::ShapeError);
  CHECK(inference.after_transition(1, Matrix<float>(0, 6)).rows() == 0);
}

TEST_CASE("a ConvNeXt refuses images of another size, and takes none", "[convnext][inference]") {
  const ConvNext<float> model = draw_convnext<float>(small_convnext(), 7);
  ConvNextInference<float> inference(model, vbp::Context(1));
  CHECK_THROWS_AS(inference(gaussian<float>(1, 2, model.config.image_elements() - 1)), vbp::ShapeError);
  CHECK(inference(Matrix<float>(0, model.config.image_elements())).rows() == 0);
}

TEST_CASE("a ConvNeXt's inference can be moved and writes into any rows", "[convnext][inference]") {
  for (const Index classes : {5, 0}) {
    auto config = vbp_test::small_convnext();
    config.classes = classes;
    const auto images = vbp_test::gaussian<float>(3, 3, config.image_elements());
    ConvNextInference<float> first(vbp_test::draw_convnext<float>(config, 11), vbp::Context(2));
    const Matrix<float> expected = first(images);
    ConvNextInference<float> second(std::move(first));
    Matrix<float> wide = Matrix<float>::Constant(3, expected.cols() + 2, 7.0F);
    second.run(images, wide.middleCols(1, expected.cols()));
    CHECK(Matrix<float>(wide.middleCols(1, expected.cols())) == expected);
    CHECK((wide.leftCols(1).array() == 7.0F).all());
    CHECK((wide.rightCols(1).array() == 7.0F).all());
    CHECK_THROWS_AS(second.run(images, wide), vbp::ShapeError);
  }
}
