#include "vbp/models/vit/config.hpp"

#include <limits>

#include "support/catch.hpp"

namespace {

using vbp::Index;
using vbp::Pooling;
using vbp::VitConfig;

VitConfig small_config() {
  return {.architecture = "",
          .image_size = 84,
          .patch_size = 14,
          .dim = 384,
          .heads = 6,
          .hidden_widths = {1536, 700, 16},
          .classes = 10};
}

}  // namespace

TEST_CASE("sizes follow from a configuration", "[vit][config]") {
  VitConfig config = small_config();
  CHECK(config.depth() == 3);
  CHECK(config.grid() == 6);
  CHECK(config.patches() == 36);
  CHECK(config.prefix_tokens() == 1);
  CHECK(config.tokens() == 37);
  CHECK(config.head_dim() == 64);
  CHECK(config.patch_elements() == 588);
  CHECK(config.image_elements() == 21168);
  CHECK(config.pooled_features() == 384);
  CHECK(config.outputs() == 10);

  config.distillation_token = true;
  config.register_tokens = 4;
  CHECK(config.prefix_tokens() == 6);
  CHECK(config.tokens() == 42);
  config.class_token = false;
  config.distillation_token = false;
  CHECK(config.prefix_tokens() == 4);
  config.pooling = Pooling::average;
  CHECK(config.pooled_features() == 384);
  config.pooling = Pooling::class_token_and_average;
  CHECK(config.pooled_features() == 768);
  CHECK(config.outputs() == 10);
  config.classes = 0;
  CHECK(config.outputs() == 768);
  config.channels = 1;
  CHECK(config.patch_elements() == 196);
  CHECK(config.image_elements() == 7056);
}

TEST_CASE("the defaults are those of a ViT-B/16 at 224", "[vit][config]") {
  const VitConfig config;
  CHECK(config.patches() == 196);
  CHECK(config.tokens() == 197);
  CHECK(config.patch_elements() == 768);
  CHECK(config.epsilon == 1e-6);
  CHECK(config.activation == vbp::Activation::gelu);
  CHECK(config.pooling == Pooling::class_token);
  CHECK(config.qkv_bias);
  CHECK(config.norm);
  CHECK_FALSE(config.fc_norm);
  CHECK_FALSE(config.layer_scale);
  // Width, heads and depth have none.
  CHECK_THROWS_AS(config.validate(), vbp::ValueError);
}

TEST_CASE("configurations that make sense are valid", "[vit][config]") {
  const auto valid = [](auto&& change) {
    VitConfig config = small_config();
    change(config);
    CHECK_NOTHROW(config.validate());
  };
  valid([](VitConfig&) {});
  valid([](VitConfig& c) { c.classes = 0; });
  valid([](VitConfig& c) { c.heads = 384; });
  valid([](VitConfig& c) { c.patch_size = 84; });
  valid([](VitConfig& c) { c.patch_size = 1; });
  valid([](VitConfig& c) { c.hidden_widths = {1}; });
  valid([](VitConfig& c) { c.distillation_token = true; });
  valid([](VitConfig& c) { c.register_tokens = 16; });
  valid([](VitConfig& c) {
    c.class_token = false;
    c.pooling = Pooling::average;
  });
  valid([](VitConfig& c) { c.pooling = Pooling::class_token_and_average; });
  valid([](VitConfig& c) { c.epsilon = 1e-12; });
}

TEST_CASE("impossible configurations are refused by name", "[vit][config]") {
  const auto refused = [](auto&& change, const char* message) {
    VitConfig config = small_config();
    change(config);
    CHECK_THROWS_AS(config.validate(), vbp::ValueError);
    CHECK_THROWS_WITH(config.validate(), message);
  };
  refused([](VitConfig& c) { c.image_size = 0; }, "image_size must be positive, not 0");
  refused([](VitConfig& c) { c.image_size = -84; }, "image_size must be positive, not -84");
  refused([](VitConfig& c) { c.patch_size = 0; }, "patch_size must be positive, not 0");
  refused([](VitConfig& c) { c.channels = -1; }, "channels must be positive, not -1");
  refused([](VitConfig& c) { c.dim = 0; }, "dim must be positive, not 0");
  refused([](VitConfig& c) { c.heads = 0; }, "heads must be positive, not 0");
  refused([](VitConfig& c) { c.hidden_widths.clear(); }, "depth must be positive, not 0");
  refused([](VitConfig& c) { c.hidden_widths[2] = 0; }, "a hidden width must be positive, not 0");
  refused([](VitConfig& c) { c.classes = -1; }, "classes must not be negative");
  refused([](VitConfig& c) { c.register_tokens = -1; }, "register_tokens must not be negative");
  refused([](VitConfig& c) { c.heads = 5; }, "a width of 384 is not divisible by 5 heads");
  refused([](VitConfig& c) { c.patch_size = 16; }, "an image size of 84 is no multiple of the patch size 16");
  refused([](VitConfig& c) { c.patch_size = 168; },
          "an image size of 84 is no multiple of the patch size 168");
  refused(
      [](VitConfig& c) {
        c.distillation_token = true;
        c.class_token = false;
        c.pooling = Pooling::average;
      },
      "a distillation token needs a class token");
  for (const Pooling pooling : {Pooling::average, Pooling::class_token_and_average}) {
    refused(
        [&](VitConfig& c) {
          c.distillation_token = true;
          c.pooling = pooling;
        },
        "a distilled model pools by its tokens, not by the average");
  }
  for (const Pooling pooling : {Pooling::class_token, Pooling::class_token_and_average}) {
    refused(
        [&](VitConfig& c) {
          c.class_token = false;
          c.pooling = pooling;
        },
        "this pooling needs a class token");
  }
  for (const double epsilon :
       {0.0, -1e-6, 1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    refused([&](VitConfig& c) { c.epsilon = epsilon; }, "layer_norm_eps must lie between 0 and 1");
  }
}
