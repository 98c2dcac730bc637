#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/models/convnext/checkpoint.hpp"

namespace {

using Catch::Matchers::Contains;
using vbp::Index;

/// A configuration file of this text.
struct File {
  vbp_test::TemporaryFolder folder;
  std::filesystem::path path = folder / "net.json";

  explicit File(const std::string& text) { std::ofstream(path) << text; }
  vbp::ConvNextCheckpoint load(const std::map<std::string, std::string>& options = {}) const {
    return vbp::load_config<vbp::ConvNext<float>>(path, options);
  }
};

}  // namespace

TEST_CASE("a configuration file gives a ConvNeXt's shape", "[convnext][config_file]") {
  const File file(R"({"architecture": "mine", "image_size": 32, "patch_size": 2, "dims": [8, 12],
    "depths": [1, 2], "activation": "gelu_tanh", "global_pool": "avg", "layer_scale": false,
    "layer_norm_eps": 1e-5, "mean": 0.5, "class_names": ["a", "b"]})");
  const vbp::ConvNextCheckpoint checkpoint = file.load({{"head_norm_eps", "0.1"}});
  const vbp::ConvNextConfig& config = checkpoint.model.config;
  CHECK(config.architecture == "mine");
  CHECK(config.image_size == 32);
  CHECK(config.patch_size == 2);
  CHECK(config.channels == 3);
  CHECK(config.dims == std::vector<Index>{8, 12});
  CHECK(config.depths == std::vector<Index>{1, 2});
  CHECK(config.hidden_widths == std::vector<Index>{32, 48, 48});
  CHECK(config.activation == vbp::Activation::gelu_tanh);
  CHECK_FALSE(config.layer_scale);
  CHECK(config.epsilon == 1e-5);
  CHECK(config.head_epsilon == 0.1);
  CHECK(config.classes == 2);
  CHECK(checkpoint.preprocessing.image_size == 32);
  CHECK(checkpoint.preprocessing.mean[2] == 0.5);
  CHECK(file.load().model.config.head_epsilon == 1e-5);
  CHECK(file.load({{"hidden_widths", "9"}}).model.config.hidden_widths == std::vector<Index>{9, 9, 9});
  CHECK(file.load({{"hidden_widths", "9,8,7"}}).model.config.hidden_widths == std::vector<Index>{9, 8, 7});
  const auto keys = vbp::config_keys(file.path, {{"channels", "3"}});
  CHECK(keys.contains("dims"));
  CHECK(keys.contains("channels"));
  CHECK_FALSE(keys.contains("depth"));
}

TEST_CASE("configuration files that make no ConvNeXt are refused with the key", "[convnext][config_file]") {
  const auto refused = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK_THROWS_WITH(File(text).load(), Contains(part));
    CHECK_THROWS_AS(File(text).load(), vbp::Error);
  };
  const std::string start = R"({"dims": [8, 12], )";
  refused("[]", "no JSON object");
  refused("{}", "number of stages must be positive");
  refused(start + R"("dim": 8})", R"(no configuration value "dim" of a ConvNeXt)");
  refused(start + R"("depths": 3})", "depths of 1 stages for dims of 2");
  refused(start + R"("depths": [1, 5000]})", "beyond reason");
  refused(start + R"("depths": [1, 0]})", "depth must be positive");
  refused(start + R"("depths": [1, 2], "hidden_widths": [4, 4]})", "2 widths for 3 blocks");
  refused(start + R"("depths": [1, 1], "image_size": 4})", "too small");
  refused(start + R"("depths": [1, 1], "global_pool": "token"})", "only avg");
  refused(start + R"("depths": [1, 1], "activation": "relu"})", "relu");
  refused(start + R"("depths": [1, 1], "head_norm_eps": 2})", "head_norm_eps");
}
