#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/error.hpp"
#include "vbp/models/vit/checkpoint.hpp"

namespace {

using Catch::Matchers::Contains;
using vbp::Index;
using vbp_test::TemporaryFolder;

struct ConfigFile {
  TemporaryFolder folder;
  std::filesystem::path path = folder / "net.json";

  explicit ConfigFile(const std::string& text) { std::ofstream(path) << text; }
  vbp::VitCheckpoint load(const std::map<std::string, std::string>& options = {}) const {
    return vbp::load_config<vbp::VisionTransformer<float>>(path, options);
  }
};

}  // namespace

TEST_CASE("a configuration file gives shape, preprocessing and classes", "[vit][config_file]") {
  const ConfigFile file(R"({"architecture": "mine", "image_size": 32, "patch_size": 8, "dim": 24, "depth": 3,
    "num_heads": 4, "activation": "gelu_tanh", "global_pool": "avg", "class_token": false, "norm": false,
    "fc_norm": true, "layer_scale": true, "qkv_bias": false, "layer_norm_eps": 1e-5, "mean": [0.5],
    "std": [0.1, 0.2, 0.3], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear",
    "class_names": ["a", "b"]})");
  const vbp::VitCheckpoint checkpoint = file.load({{"dim", "32"}});
  const vbp::VitConfig& config = checkpoint.model.config;
  CHECK(config.architecture == "mine");
  CHECK(config.image_size == 32);
  CHECK(config.patch_size == 8);
  CHECK(config.dim == 32);
  CHECK(config.heads == 4);
  CHECK(config.hidden_widths == std::vector<Index>{128, 128, 128});
  CHECK(config.activation == vbp::Activation::gelu_tanh);
  CHECK(config.pooling == vbp::Pooling::average);
  CHECK(config.classes == 2);
  CHECK_FALSE(config.class_token);
  CHECK_FALSE(config.norm);
  CHECK(config.fc_norm);
  CHECK(config.layer_scale);
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.epsilon == 1e-5);
  CHECK(checkpoint.class_names == std::vector<std::string>{"a", "b"});
  CHECK(checkpoint.preprocessing.image_size == 32);
  CHECK(checkpoint.preprocessing.crop_pct == 1.0);
  CHECK(checkpoint.preprocessing.crop_mode == vbp::io::CropMode::squash);
  CHECK(checkpoint.preprocessing.interpolation == vbp::io::Interpolation::bilinear);
  CHECK(checkpoint.preprocessing.mean[2] == 0.5);
  CHECK(checkpoint.preprocessing.std[1] == 0.2);
}

TEST_CASE("hidden widths are one for all blocks, or one a block", "[vit][config_file]") {
  const std::string start = R"({"dim": 8, "num_heads": 2, "patch_size": 16, )";
  CHECK(ConfigFile(start + R"("depth": 2, "hidden_widths": 5})").load().model.config.hidden_widths ==
        std::vector<Index>{5, 5});
  CHECK(ConfigFile(start + R"("hidden_widths": [5, 6, 7]})").load().model.config.hidden_widths ==
        std::vector<Index>{5, 6, 7});
  CHECK_THROWS_WITH(ConfigFile(start + R"("depth": 2, "hidden_widths": [5, 6, 7]})").load(),
                    Contains("hidden_widths"));
}

TEST_CASE("configuration files that make no network are refused with the key", "[vit][config_file]") {
  const auto refused = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK_THROWS_WITH(ConfigFile(text).load(), Contains(part));
    CHECK_THROWS_AS(ConfigFile(text).load(), vbp::Error);
  };
  refused("[1]", "no JSON object");
  refused("{", "no JSON object");
  refused(R"({"dimension": 8})", "dimension");
  refused(R"({"dim": "wide"})", "dim");
  refused(R"({"dim": -8})", "dim");
  refused(R"({"dim": 8, "num_heads": 3, "depth": 1})", "not divisible");
  refused(R"({"dim": 8, "num_heads": 2})", "depth");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 100000})", "depth");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 1, "activation": "relu"})", "relu");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 1, "global_pool": "map"})", "map");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 1, "std": [0]})", "std");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 1, "mean": [0.5, 0.5]})", "mean");
  refused(R"({"dim": 8, "num_heads": 2, "depth": 1, "class_names": ["a"], "num_classes": 2})", "class_names");
  CHECK_THROWS_AS(vbp::load_config<vbp::VisionTransformer<float>>("/nowhere/net.json"), vbp::FileError);
  CHECK_THROWS_WITH(ConfigFile("{}").load({{"bogus", "1"}}), Contains("bogus"));
}
