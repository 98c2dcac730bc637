#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/models/swin/checkpoint.hpp"

namespace {

using Catch::Matchers::Contains;
using vbp::Index;

/// A configuration file of this text.
struct File {
  vbp_test::TemporaryFolder folder;
  std::filesystem::path path = folder / "net.json";

  explicit File(const std::string& text) { std::ofstream(path) << text; }
  vbp::SwinCheckpoint load(const std::map<std::string, std::string>& options = {}) const {
    return vbp::load_config<vbp::SwinTransformer<float>>(path, options);
  }
};

}  // namespace

TEST_CASE("a configuration file gives a Swin Transformer's shape", "[swin][config_file]") {
  const File file(R"({"image_size": 32, "patch_size": 2, "dims": [8, 12], "depths": [1, 2],
    "num_heads": [2, 3], "window_size": 4, "qkv_bias": false, "pad_before_shift": true,
    "layer_norm_eps": 1e-6, "num_classes": 3})");
  const vbp::SwinConfig config = file.load().model.config;
  CHECK(config.image_size == 32);
  CHECK(config.patch_size == 2);
  CHECK(config.dims == std::vector<Index>{8, 12});
  CHECK(config.depths == std::vector<Index>{1, 2});
  CHECK(config.heads == std::vector<Index>{2, 3});
  CHECK(config.windows == std::vector<Index>{4, 4});
  CHECK(config.hidden_widths == std::vector<Index>{32, 48, 48});
  CHECK_FALSE(config.qkv_bias);
  CHECK(config.pad_before_shift);
  CHECK(config.epsilon == 1e-6);
  CHECK(config.embedding_epsilon == 1e-6);
  CHECK(config.classes == 3);
  const auto changed = file.load({{"window_size", "4,3"}, {"embed_norm_eps", "0.1"}, {"hidden_widths", "7"}});
  CHECK(changed.model.config.windows == std::vector<Index>{4, 3});
  CHECK(changed.model.config.embedding_epsilon == 0.1);
  CHECK(changed.model.config.hidden_widths == std::vector<Index>{7, 7, 7});
}

TEST_CASE("configuration files that make no Swin Transformer are refused with the key",
          "[swin][config_file]") {
  const auto refused = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK_THROWS_WITH(File(text).load(), Contains(part));
    CHECK_THROWS_AS(File(text).load(), vbp::Error);
  };
  const std::string start = R"({"dims": [8, 12], "depths": [1, 2], )";
  refused(start + R"("heads": [2, 2]})", R"(no configuration value "heads" of a Swin Transformer)");
  refused(start + R"("num_heads": [2], "window_size": 4})", "heads of 1 stages for dims of 2");
  refused(start + R"("num_heads": [2, 2], "window_size": [4, 4, 4]})", "windows of 3 stages");
  refused(start + R"("num_heads": [2, 5], "window_size": 4})", "no multiple of 5 heads");
  refused(start + R"("num_heads": [2, 2], "window_size": 0})", "window must be positive");
  refused(start + R"("num_heads": [2, 2], "window_size": 4, "global_pool": "token"})", "only avg");
}
