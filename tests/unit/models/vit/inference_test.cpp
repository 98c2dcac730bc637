#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/plain_vit.hpp"
#include "support/shared.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/positions.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using vbp::MatrixView;
using vbp::VisionTransformer;
using vbp::VitConfig;
using vbp::VitInference;
using vbp_test::random_images;
using vbp_test::random_vit;
using vbp_test::relative_difference;

const fs::path kInferenceGolden = fs::path(VBP_TEST_DIR) / "golden";

/// Differences in parts of the largest magnitude: a block or two of sums of some dozen terms, each block
/// passing on what it was given with a factor of a few.
template <class T>
constexpr double kTolerance = 100 * static_cast<double>(std::numeric_limits<T>::epsilon());

/// A small model with an odd number of features in each head.
VitConfig small_network() {
  return {.architecture = "small",
          .image_size = 12,
          .patch_size = 4,
          .dim = 21,
          .heads = 3,
          .hidden_widths = {40, 40},
          .classes = 5};
}

struct Variant {
  std::string name;
  VitConfig config;
};

/// Every configuration that the forward pass distinguishes.
std::vector<Variant> variants() {
  std::vector<Variant> result;
  const auto add = [&](const char* name, auto&& change) {
    Variant variant{name, small_network()};
    change(variant.config);
    result.push_back(std::move(variant));
  };
  using vbp::Activation;
  using vbp::Pooling;
  add("plain", [](VitConfig&) {});
  add("GELU by tanh", [](VitConfig& c) { c.activation = Activation::gelu_tanh; });
  add("layer scale", [](VitConfig& c) { c.layer_scale = true; });
  add("no bias of q, k and v", [](VitConfig& c) { c.qkv_bias = false; });
  add("a large epsilon", [](VitConfig& c) { c.epsilon = 0.3; });
  add("distillation token", [](VitConfig& c) { c.distillation_token = true; });
  add("distillation and register tokens", [](VitConfig& c) {
    c.distillation_token = true;
    c.register_tokens = 2;
  });
  add("register tokens", [](VitConfig& c) { c.register_tokens = 3; });
  add("register tokens without positions", [](VitConfig& c) {
    c.register_tokens = 4;
    c.position_covers_prefix = false;
  });
  add("average pooling", [](VitConfig& c) { c.pooling = Pooling::average; });
  add("average pooling, normalised behind", [](VitConfig& c) {
    c.pooling = Pooling::average;
    c.norm = false;
    c.fc_norm = true;
  });
  add("average pooling past registers", [](VitConfig& c) {
    c.pooling = Pooling::average;
    c.register_tokens = 2;
  });
  add("no class token", [](VitConfig& c) {
    c.class_token = false;
    c.pooling = Pooling::average;
  });
  add("class token and average", [](VitConfig& c) {
    c.pooling = Pooling::class_token_and_average;
    c.register_tokens = 1;
  });
  add("class token and average, both norms", [](VitConfig& c) {
    c.pooling = Pooling::class_token_and_average;
    c.fc_norm = true;
  });
  add("no final norm", [](VitConfig& c) { c.norm = false; });
  add("class token with both norms", [](VitConfig& c) { c.fc_norm = true; });
  add("no head", [](VitConfig& c) { c.classes = 0; });
  add("no head, class token and average", [](VitConfig& c) {
    c.classes = 0;
    c.pooling = Pooling::class_token_and_average;
  });
  add("no head, distillation token", [](VitConfig& c) {
    c.classes = 0;
    c.distillation_token = true;
  });
  add("widths per block", [](VitConfig& c) { c.hidden_widths = {37, 1, 90, 16}; });
  add("one channel", [](VitConfig& c) { c.channels = 1; });
  add("one patch", [](VitConfig& c) { c.patch_size = 12; });
  add("patches of one pixel", [](VitConfig& c) {
    c.patch_size = 1;
    c.image_size = 6;
  });
  add("more classes than any width", [](VitConfig& c) {
    c.classes = 300;
    c.distillation_token = true;
    c.patch_size = 12;
  });
  add("one head", [](VitConfig& c) { c.heads = 1; });
  add("heads of one feature", [](VitConfig& c) { c.heads = 21; });
  return result;
}

/// A forward pass that keeps what its observer sees.
template <class T>
std::pair<Matrix<T>, std::vector<Matrix<T>>> observed(VitInference<T>& inference, const Matrix<T>& images) {
  std::vector<Matrix<T>> hidden;
  Matrix<T> logits = inference(images, [&](Index block, const MatrixView<T>& activations) {
    CHECK(block == static_cast<Index>(hidden.size()));
    hidden.emplace_back(activations);
  });
  return {std::move(logits), std::move(hidden)};
}

/// A tensor of any shape as [rows, rest].
Matrix<double> read_rows(const vbp::io::SafetensorsFile& file, const std::string& name, Index rows) {
  return file.read_matrix<double>(name, rows, file.tensor(name).size() / rows);
}

/// The forward pass on T against what another implementation computed in double.
template <class T>
void check_golden(const VisionTransformer<float>& model, const fs::path& path,
                  double tolerance = kTolerance<T>) {
  INFO(path.string());
  const vbp::io::SafetensorsFile file(path);
  const Index count = file.tensor("inputs").shape.at(0);
  const Matrix<T> images = read_rows(file, "inputs", count).cast<T>();
  VitInference<T> inference(vbp::cast<T>(model), vbp::Context(1));
  const auto [logits, hidden] = observed(inference, images);
  CHECK(relative_difference(logits, read_rows(file, "logits", count)) <= tolerance);
  if (!file.contains("hidden.0")) return;
  REQUIRE(static_cast<Index>(hidden.size()) == model.config.depth());
  for (std::size_t b = 0; b < hidden.size(); ++b) {
    const Matrix<double> expected =
        read_rows(file, "hidden." + std::to_string(b), count * model.config.tokens());
    CHECK(relative_difference(hidden[b], expected) <= tolerance);
  }
}

}  // namespace

TEST_CASE("tiny models give PyTorch's logits and hidden activations", "[vit][inference]") {
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(kInferenceGolden / "vit")) {
    const std::string name = entry.path().filename().string();
    const std::size_t end = name.find(".expected.safetensors");
    if (end == std::string::npos) continue;
    const std::string stem = name.substr(0, end);
    const std::size_t size = stem.find(".size");
    VisionTransformer<float> model = vbp::load_checkpoint<vbp::VisionTransformer<float>>(
                                         kInferenceGolden / "vit" / (stem.substr(0, size) + ".safetensors"))
                                         .model;
    const bool resized = size != std::string::npos;
    if (resized) model = vbp::with_image_size(std::move(model), std::stol(stem.substr(size + 5)));
    check_golden<float>(model, entry.path());
    // timm resamples positions in single precision, and weights are loaded in it.
    const bool rounded = resized || stem == "plain_f64";
    check_golden<double>(model, entry.path(), rounded ? kTolerance<float> : kTolerance<double>);
    ++checked;
  }
  CHECK(checked >= 25);
}

TEST_CASE("checkpoints of the hub give the logits of their own libraries", "[vit][inference]") {
  int checked = 0;
  for (const char* library : {"hf", "timm"}) {
    for (const auto& entry : fs::directory_iterator(kInferenceGolden / library)) {
      const VisionTransformer<float> model =
          vbp::load_checkpoint<vbp::VisionTransformer<float>>(entry.path() / "model.safetensors").model;
      check_golden<float>(model, entry.path() / "expected.safetensors");
      // Here the class token and its position are added in single precision, when they are loaded.
      const bool rounded = entry.path().filename() == "dinov2_registers";
      check_golden<double>(model, entry.path() / "expected.safetensors",
                           rounded ? kTolerance<float> : kTolerance<double>);
      ++checked;
    }
  }
  CHECK(checked >= 7);
}

TEMPLATE_TEST_CASE("every kind of model follows its definition", "[vit][inference]", float, double) {
  std::uint64_t seed = 1;
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const VisionTransformer<TestType> model = random_vit<TestType>(variant.config, ++seed);
    const Matrix<TestType> images = random_images<TestType>(variant.config, 3, 100 + seed);
    const vbp_test::PlainOutput expected = vbp_test::PlainVit(model)(images.template cast<double>());
    VitInference<TestType> inference(model, vbp::Context(2));
    const auto [logits, hidden] = observed(inference, images);
    CHECK(relative_difference(logits, expected.logits) <= kTolerance<TestType>);
    REQUIRE(hidden.size() == expected.hidden.size());
    for (std::size_t b = 0; b < hidden.size(); ++b) {
      INFO("block " << b);
      CHECK(relative_difference(hidden[b], expected.hidden[b]) <= kTolerance<TestType>);
    }
    CHECK(inference.config().architecture == "small");
  }
}

TEMPLATE_TEST_CASE("an image's logits are the same bits in any batch", "[vit][inference]", float, double) {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const VisionTransformer<TestType> model = random_vit<TestType>(variant.config, 3);
    const Matrix<TestType> images = random_images<TestType>(variant.config, 7, 4);
    VitInference<TestType> inference(model, vbp::Context(1));
    const auto [logits, hidden] = observed(inference, images);
    for (const auto& [first, count] : {std::pair<Index, Index>{0, 1}, {6, 1}, {2, 3}, {0, 7}}) {
      const auto [some, some_hidden] = observed(inference, Matrix<TestType>(images.middleRows(first, count)));
      CHECK(some == Matrix<TestType>(logits.middleRows(first, count)));
      const Index tokens = variant.config.tokens();
      for (std::size_t b = 0; b < hidden.size(); ++b) {
        CHECK(some_hidden[b] == Matrix<TestType>(hidden[b].middleRows(first * tokens, count * tokens)));
      }
    }
  }
}

TEMPLATE_TEST_CASE("the logits are the same bits for any number of threads", "[vit][inference]", float,
                   double) {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const VisionTransformer<TestType> model = random_vit<TestType>(variant.config, 5);
    const Matrix<TestType> images = random_images<TestType>(variant.config, 3, 6);
    const Matrix<TestType> expected = VitInference<TestType>(model, vbp::Context(1))(images);
    for (const int threads : {2, 3, 8}) {
      VitInference<TestType> inference(model, vbp::Context(threads));
      CHECK(inference.pool().size() == threads);
      CHECK(inference(images) == expected);
    }
  }
}

TEST_CASE("a larger model, more rows than one task, gives the same bits for any threads and batch",
          "[vit][inference]") {
  VitConfig config = small_network();
  config.image_size = 40;
  config.dim = 96;
  config.hidden_widths = {400, 77};
  const VisionTransformer<float> model = random_vit<float>(config, 7);
  const Matrix<float> images = random_images<float>(config, 3, 8);
  VitInference<float> one(model, vbp::Context(1));
  const Matrix<float> expected = one(images);
  const vbp_test::PlainOutput plain = vbp_test::PlainVit(model)(images.cast<double>());
  CHECK(relative_difference(expected, plain.logits) <= kTolerance<float>);
  for (const int threads : {2, 5}) {
    VitInference<float> inference(model, vbp::Context(threads));
    CHECK(inference(images) == expected);
    for (Index i = 0; i < 3; ++i) {
      CHECK(inference(images.row(i)) == Matrix<float>(expected.row(i)));
      CHECK(one(images.row(i)) == Matrix<float>(expected.row(i)));
    }
  }
}

TEST_CASE("an observer changes nothing", "[vit][inference]") {
  const VisionTransformer<float> model = random_vit<float>(small_network(), 9);
  const Matrix<float> images = random_images<float>(small_network(), 4, 10);
  VitInference<float> inference(model, vbp::Context(1));
  const Matrix<float> expected = inference(images);
  CHECK(observed(inference, images).first == expected);
  int calls = 0;
  const auto counting = [&](Index, const MatrixView<float>& hidden) {
    ++calls;
    CHECK(hidden.rows() == 4 * 10);
    CHECK(hidden.cols() == 40);
  };
  CHECK(inference(images, counting) == expected);
  CHECK(calls == 2);
}

TEST_CASE("what an observer throws comes through, and the next pass is right again", "[vit][inference]") {
  const VisionTransformer<float> model = random_vit<float>(small_network(), 9);
  const Matrix<float> images = random_images<float>(small_network(), 2, 10);
  VitInference<float> inference(model, vbp::Context(2));
  const Matrix<float> expected = inference(images);
  CHECK_THROWS_WITH(
      inference(images, [](Index, const MatrixView<float>&) { throw vbp::ValueError("stop here"); }),
      "stop here");
  CHECK(inference(images) == expected);
}

TEST_CASE("images may be any block of rows, and results go where the caller says", "[vit][inference]") {
  const VisionTransformer<float> model = random_vit<float>(small_network(), 11);
  const Matrix<float> images = random_images<float>(small_network(), 3, 12);
  VitInference<float> inference(model);
  const Matrix<float> expected = inference(images);
  Matrix<float> wide = Matrix<float>::Constant(5, images.cols() + 9, std::numeric_limits<float>::quiet_NaN());
  wide.block(1, 4, 3, images.cols()) = images;
  CHECK(inference(wide.block(1, 4, 3, images.cols())) == expected);
  Matrix<float> logits = Matrix<float>::Constant(5, 5, 7.0F);
  inference.run(images, logits.middleRows(1, 3));
  CHECK(Matrix<float>(logits.middleRows(1, 3)) == expected);
  CHECK((logits.row(0).array() == 7.0F).all());
  CHECK((logits.row(4).array() == 7.0F).all());
}

TEST_CASE("logits go into any rows of a matrix, and only into those that fit", "[vit][inference]") {
  for (const bool distilled : {false, true}) {
    VitConfig config = small_network();
    config.distillation_token = distilled;
    const Matrix<float> images = random_images<float>(config, 3, 12);
    VitInference<float> inference(random_vit<float>(config, 11), vbp::Context(2));
    const Matrix<float> expected = inference(images);
    // Rows that lie further apart than their length.
    Matrix<float> wide = Matrix<float>::Constant(4, 9, 7.0F);
    inference.run(images, wide.block(1, 2, 3, 5));
    CHECK(Matrix<float>(wide.block(1, 2, 3, 5)) == expected);
    wide.block(1, 2, 3, 5).setConstant(7.0F);
    CHECK((wide.array() == 7.0F).all());
    CHECK_THROWS_AS(inference.run(images, wide.block(0, 0, 2, 5)), vbp::ShapeError);
    CHECK_THROWS_WITH(inference.run(images, wide.block(0, 0, 3, 6)),
                      "logits of [3, 6] for 3 images and 5 outputs");
  }
  // Without a head the features are written.
  VitConfig config = small_network();
  config.classes = 0;
  const Matrix<float> images = random_images<float>(config, 2, 12);
  VitInference<float> inference(random_vit<float>(config, 11));
  const Matrix<float> expected = inference(images);
  Matrix<float> wide = Matrix<float>::Zero(2, expected.cols() + 1);
  inference.run(images, wide.leftCols(expected.cols()));
  CHECK(Matrix<float>(wide.leftCols(expected.cols())) == expected);
}

TEST_CASE("an inference can be moved, with its memory and its Context", "[vit][inference]") {
  const Matrix<float> images = random_images<float>(small_network(), 3, 12);
  VitInference<float> first(random_vit<float>(small_network(), 11), vbp::Context(3));
  const Matrix<float> expected = first(images);
  VitInference<float> second(std::move(first));
  CHECK(second(images) == expected);
  CHECK(second.context().threads() == 3);
  VitInference<float> third(random_vit<float>(small_network(), 12), vbp::Context(1));
  CHECK(third(images) != expected);
  third = std::move(second);
  CHECK(third(images) == expected);
  std::vector<VitInference<float>> several;
  several.push_back(std::move(third));
  several.emplace_back(random_vit<float>(small_network(), 12));
  CHECK(several.front()(images) == expected);
  // One Context may serve several objects.
  const vbp::Context context(2);
  VitInference<float> one(random_vit<float>(small_network(), 11), context);
  VitInference<float> other(random_vit<float>(small_network(), 11), context);
  CHECK(&one.pool() == &other.pool());
  CHECK(one(images) == other(images));
}

TEST_CASE("no images give no logits, wrong ones are refused", "[vit][inference]") {
  VitInference<float> inference(random_vit<float>(small_network(), 13), vbp::Context(1));
  const Matrix<float> none = inference(Matrix<float>(0, 432));
  CHECK(none.rows() == 0);
  CHECK(none.cols() == 5);
  CHECK_THROWS_AS(inference(Matrix<float>::Zero(2, 431)), vbp::ShapeError);
  CHECK_THROWS_WITH(inference(Matrix<float>::Zero(2, 433)),
                    "images of 433 values for a model that takes 432");
  CHECK_THROWS_AS(inference(Matrix<float>(0, 7)), vbp::ShapeError);
}

TEST_CASE("a model that contradicts itself is not run", "[vit][inference]") {
  const auto refused = [](auto&& change) {
    VisionTransformer<float> model = random_vit<float>(small_network(), 14);
    change(model);
    CHECK_THROWS_AS(VitInference<float>(model), vbp::Error);
  };
  refused([](auto& model) { model.blocks[1].fc2.weight.conservativeResize(21, 39); });
  refused([](auto& model) { model.config.heads = 4; });
  refused([](auto& model) { model.head.bias[2] = std::numeric_limits<float>::quiet_NaN(); });
  refused([](auto& model) { model.blocks.pop_back(); });
}

TEST_CASE("an inference keeps no reference to its model", "[vit][inference]") {
  auto model = std::make_optional(random_vit<float>(small_network(), 15));
  const Matrix<float> images = random_images<float>(small_network(), 2, 16);
  VitInference<float> inference(*model, vbp::Context(1));
  const Matrix<float> expected = inference(images);
  vbp::for_each_parameter(*model,
                          [](const std::string&, auto& parameter, Index, Index) { parameter.setZero(); });
  CHECK(inference(images) == expected);
  model.reset();
  CHECK(inference(images) == expected);
}

TEST_CASE("an inference says what memory it takes", "[vit][inference]") {
  const VitConfig config = small_network();
  const VisionTransformer<float> model = random_vit<float>(config, 17);
  VitInference<float> inference(model, vbp::Context(1));
  Index weights = 0;
  vbp::for_each_parameter(model, [&](const std::string& name, const auto& parameter, Index, Index cols) {
    if (name.ends_with("weight") && cols > 1) weights += parameter.size() * 4;
  });
  const Index before = inference.bytes();
  CHECK(before >= weights);
  (void)inference(random_images<float>(config, 1, 18));
  const Index one = inference.bytes();
  // At least the residual stream and the hidden activations.
  CHECK(one - before >= config.tokens() * (21 + 40) * 4);
  (void)inference(random_images<float>(config, 4, 18));
  const Index four = inference.bytes();
  CHECK(four - one >= 3 * config.tokens() * (21 + 40) * 4);
  (void)inference(random_images<float>(config, 2, 18));
  CHECK(inference.bytes() == four);
}

TEST_CASE("the real ViT-S has PyTorch's logits, dense and pruned", "[vit][inference][shared]") {
  VBP_REQUIRE_SHARED(shared);
  VisionTransformer<float> model =
      vbp::load_checkpoint<vbp::VisionTransformer<float>>(shared / "models" / "vit_small_cifar10.safetensors")
          .model;
  const vbp::io::SafetensorsFile reference(shared / "reference" / "vit_small_cifar10.safetensors");
  const Index count = 10;
  const Matrix<float> images = read_rows(reference, "inputs", count).cast<float>();
  // The inputs are every tenth of the images that the logits are of.
  const auto expected = [&](const std::string& name) {
    const Matrix<double> all = read_rows(reference, name, 100);
    Matrix<double> rows(count, all.cols());
    for (Index i = 0; i < count; ++i) rows.row(i) = all.row(10 * i);
    return rows;
  };
  CHECK(relative_difference(VitInference<float>(model)(images), expected("logits")) <= 1e-3);

  // Pruned by the reference's own statistics: 1,000 images of 37 tokens.
  constexpr std::int64_t samples = 37'000;
  std::vector<vbp::Statistics<double>> statistics;
  for (Index b = 0; b < 12; ++b) {
    const std::string block = std::to_string(b);
    statistics.push_back(vbp::Statistics<double>::from_moments(
        samples, reference.read_vector<double>("mean." + block),
        reference.read_vector<double>("variance." + block) * static_cast<double>(samples - 1)));
  }
  const vbp::PruningPlan plan = vbp::prune(model.blocks, statistics, {.rate = 0.5});
  CHECK(plan.removed() == 9216);
  for (std::size_t b = 0; b < 12; ++b) {
    std::vector<std::uint8_t> kept(1536, 0);
    for (const Index neuron : plan.blocks[b].kept) kept[static_cast<std::size_t>(neuron)] = 1;
    CHECK(kept == reference.read_array<std::uint8_t>("kept50." + std::to_string(b)));
  }
  CHECK(relative_difference(VitInference<float>(model)(images), expected("logits_vbp50")) <= 1e-3);
}
