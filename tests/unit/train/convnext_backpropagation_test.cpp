#include <filesystem>
#include <string>
#include <vector>

#include "support/backpropagation.hpp"
#include "support/catch.hpp"
#include "support/convnext.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/backward.hpp"
#include "vbp/models/initialise.hpp"

namespace {

using vbp::ConvNextConfig;
using vbp::Index;
using vbp::Matrix;
using vbp_test::draw_convnext;

const std::filesystem::path kConvNextGolden = std::filesystem::path(VBP_TEST_DIR) / "golden" / "train";

/// Two stages whose maps have 3 pixels a side and 1, the last row and column of the first left out.
ConvNextConfig tiny_convnext() {
  return {.architecture = "tiny",
          .image_size = 7,
          .patch_size = 2,
          .channels = 2,
          .dims = {3, 4},
          .depths = {2, 1},
          .hidden_widths = {5, 4, 6},
          .classes = 3};
}

struct ConvNextVariant {
  std::string name;
  ConvNextConfig config;
};

std::vector<ConvNextVariant> convnext_variants() {
  std::vector<ConvNextVariant> all{{"plain", tiny_convnext()}};
  const auto add = [&](const char* name, auto&& change) {
    all.push_back({name, tiny_convnext()});
    change(all.back().config);
  };
  add("no layer scale", [](auto& c) { c.layer_scale = false; });
  add("tanh approximation, other epsilons", [](auto& c) {
    c.activation = vbp::Activation::gelu_tanh;
    c.epsilon = 0.02;
    c.head_epsilon = 0.1;
  });
  add("no head", [](auto& c) { c.classes = 0; });
  add("one stage", [](auto& c) {
    c.dims = {4};
    c.depths = {1};
    c.hidden_widths = {5};
  });
  return all;
}

}  // namespace

TEST_CASE("the gradient of every parameter of a ConvNeXt is that of finite differences", "[convnext]") {
  for (const auto& [name, config] : convnext_variants()) {
    INFO(name);
    vbp_test::check_finite_differences(draw_convnext<double>(config, 1));
  }
}

TEST_CASE("the gradient of every parameter of a ConvNeXt is PyTorch's", "[convnext]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const Matrix<float> images = vbp_test::golden_convnext_tensor(name, "inputs").cast<float>();
    vbp_test::check_golden_gradients(
        vbp_test::golden_convnext(name), images,
        vbp::io::SafetensorsFile(kConvNextGolden / ("convnext_" + name + ".gradients.safetensors")));
  }
}

TEST_CASE("gradients of a ConvNeXt depend on neither threads nor what is kept, to the bit", "[convnext]") {
  for (const auto& [name, config] : convnext_variants()) {
    INFO(name);
    // More rows than one chunk of a weight's gradient holds.
    vbp_test::check_same_bits(draw_convnext<float>(config, 6), 150);
  }
  vbp_test::check_same_bits(draw_convnext<float>(vbp_test::small_convnext(), 6), 40);
}

TEST_CASE("memory of a ConvNeXt's training is what was announced", "[convnext]") {
  const ConvNextConfig config = vbp_test::small_convnext();
  const auto model = draw_convnext<float>(config, 9);
  vbp_test::check_memory(model);
  // What recomputing saves: of each block the convolution's output and the hidden layer, but the largest.
  const Index kept = 9 * (36 * (6 + 24) + 9 * (10 + 40) + 9 * (10 + 33) + 1 * (16 + 64));
  const Index remaining = 9 * 36 * (6 + 24);
  const Index saved = vbp::activation_bytes(model, 9, false) - vbp::activation_bytes(model, 9, true);
  CHECK(std::abs(saved / 4 - (kept - remaining)) <= 8 * 16);
}

TEST_CASE("what lies between two stages of a ConvNeXt learns as fast as the block behind it", "[convnext]") {
  const auto model = vbp::make_model<vbp::ConvNext<float>>(vbp_test::small_convnext());
  const std::vector<Index> layers = vbp::detail::layers_above(model);
  std::size_t next = 0;
  vbp::for_each_parameter(model, [&](const std::string& name, const auto&, Index, Index) {
    INFO(name);
    const auto is_of = [&](const char* part) { return name.starts_with(part); };
    const Index expected = is_of("stem.")                                                 ? 5
                           : is_of("stages.0.")                                           ? 4
                           : is_of("stages.1.downsample.") || is_of("stages.1.blocks.0.") ? 3
                           : is_of("stages.1.")                                           ? 2
                           : is_of("stages.2.")                                           ? 1
                                                                                          : 0;
    CHECK(layers[next++] == expected);
  });
}

TEST_CASE("a ConvNeXt learns by heart, by a teacher too, and goes on where it was", "[convnext]") {
  vbp_test::check_training(vbp::initialise_model<vbp::ConvNext<float>>(vbp_test::small_convnext(), 1), 1e-2);
}
