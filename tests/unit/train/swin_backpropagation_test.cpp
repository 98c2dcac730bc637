#include <filesystem>
#include <string>
#include <vector>

#include "support/backpropagation.hpp"
#include "support/catch.hpp"
#include "support/swin.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/swin/backward.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;
using vbp::SwinConfig;
using vbp_test::draw_swin;

const std::filesystem::path kSwinGolden = std::filesystem::path(VBP_TEST_DIR) / "golden" / "train";

/// Two stages: a map of 5 x 5 pixels in windows of 3, filled up and shifted, and one of 3 x 3 that is smaller
/// than what its table is for, of whose squares some were filled up.
SwinConfig tiny_swin() {
  return {.architecture = "tiny",
          .image_size = 10,
          .patch_size = 2,
          .channels = 1,
          .dims = {4, 6},
          .depths = {2, 1},
          .heads = {2, 1},
          .windows = {3, 4},
          .hidden_widths = {5, 4, 6},
          .classes = 3};
}

struct SwinVariant {
  std::string name;
  SwinConfig config;
};

std::vector<SwinVariant> swin_variants() {
  std::vector<SwinVariant> all{{"plain", tiny_swin()}};
  const auto add = [&](const char* name, auto&& change) {
    all.push_back({name, tiny_swin()});
    change(all.back().config);
  };
  add("padded before it is shifted", [](auto& c) { c.pad_before_shift = true; });
  add("no bias of q, k and v", [](auto& c) { c.qkv_bias = false; });
  add("tanh approximation, other epsilons", [](auto& c) {
    c.activation = vbp::Activation::gelu_tanh;
    c.epsilon = 0.02;
    c.embedding_epsilon = 0.1;
  });
  add("no head", [](auto& c) { c.classes = 0; });
  return all;
}

}  // namespace

TEST_CASE("the gradient of every parameter of a Swin Transformer is that of finite differences", "[swin]") {
  for (const auto& [name, config] : swin_variants()) {
    INFO(name);
    vbp_test::check_finite_differences(draw_swin<double>(config, 1));
  }
}

TEST_CASE("the gradient of every parameter of a Swin Transformer is PyTorch's", "[swin]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const Matrix<float> images = vbp_test::golden_swin_tensor(name, "inputs").cast<float>();
    vbp_test::check_golden_gradients(
        vbp_test::golden_swin(name), images,
        vbp::io::SafetensorsFile(kSwinGolden / ("swin_" + name + ".gradients.safetensors")));
  }
}

TEST_CASE("gradients of a Swin Transformer depend on neither threads nor what is kept, to the bit",
          "[swin]") {
  for (const auto& [name, config] : swin_variants()) {
    INFO(name);
    vbp_test::check_same_bits(draw_swin<float>(config, 6), 60);
  }
  vbp_test::check_same_bits(draw_swin<float>(vbp_test::small_swin(), 6), 30);
}

TEST_CASE("memory of a Swin Transformer's training is what was announced", "[swin]") {
  const SwinConfig config = vbp_test::small_swin();
  const auto model = draw_swin<float>(config, 9);
  vbp_test::check_memory(model);
  // What recomputing saves of a block: q, k and v, the heads' output, the middle of the stream and the hidden
  // layer. What is kept once has room for the largest of the maps and of the hidden layers.
  const Index kept = 9 * (49 * (2 * 5 * 6 + 24 + 13) + 16 * (2 * 5 * 10 + 40 + 33) + 4 * (5 * 16 + 64));
  const Index remaining = 9 * 49 * (5 * 6 + 24);
  const Index saved = vbp::activation_bytes(model, 9, false) - vbp::activation_bytes(model, 9, true);
  CHECK(std::abs(saved / 4 - (kept - remaining)) <= 20 * 16);
}

TEST_CASE("a Swin Transformer learns by heart, by a teacher too, and goes on where it was", "[swin]") {
  vbp_test::check_training(vbp::initialise_model<vbp::SwinTransformer<float>>(vbp_test::small_swin(), 1),
                           1e-2);
}
