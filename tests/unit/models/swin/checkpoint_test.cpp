#include "vbp/models/swin/checkpoint.hpp"

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/folder.hpp"
#include "support/swin.hpp"
#include "support/tensor_file.hpp"
#include "vbp/models/swin/forward.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using vbp::SwinCheckpoint;
using vbp_test::golden_swin;
using vbp_test::kSwinGolden;
using vbp_test::relative_distance;
using vbp_test::TemporaryFolder;
using vbp_test::TensorFile;

SwinCheckpoint load_swin(const fs::path& path, const vbp::SettingTexts& options = {}) {
  return vbp::load_checkpoint<vbp::SwinTransformer<float>>(path, options);
}

fs::path golden(const std::string& name) {
  return kSwinGolden / (name + ".safetensors");
}

std::string origin_of(const SwinCheckpoint& checkpoint, const std::string& key) {
  for (const vbp::ConfigValue& value : checkpoint.values) {
    if (value.key == key) return value.value + " by " + value.origin;
  }
  return "";
}

template <class Expected = vbp::FileError>
void check_refused(const fs::path& path, const std::string& part,
                   const std::map<std::string, std::string>& options = {}) {
  CHECK_THROWS_AS(load_swin(path, options), Expected);
  CHECK_THROWS_WITH(load_swin(path, options), Catch::Matchers::Contains(part));
}

/// The refusal of the golden checkpoint after a change.
template <class Change>
void check_refused_after(Change&& change, const std::string& part) {
  const TemporaryFolder folder;
  TensorFile file(golden("plain"));
  change(file);
  check_refused(file.write(folder.path() / "model.safetensors"), part);
}

}  // namespace

TEST_CASE("a Swin Transformer of timm's is read with all of its configuration", "[swin][checkpoint]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const SwinCheckpoint checkpoint = load_swin(golden(name));
    checkpoint.require_complete();
    CHECK(vbp::fingerprint(checkpoint.model) == vbp::fingerprint(golden_swin(name)));
    CHECK(checkpoint.model.config.architecture == "swin_golden");
    CHECK(checkpoint.preprocessing.image_size == checkpoint.model.config.image_size);
    CHECK(checkpoint.preprocessing.crop_pct == 0.9);
    CHECK(checkpoint.class_names.size() == 7);
    CHECK(checkpoint.ignored.empty());
  }
  const SwinCheckpoint options = load_swin(golden("options"));
  CHECK(origin_of(options, "layer_norm_eps") == "0.01 by metadata");
  CHECK(origin_of(options, "embed_norm_eps") == "0.01 by metadata");
  CHECK(origin_of(options, "activation") == "gelu_tanh by metadata");
  CHECK(origin_of(options, "dims") == "[6,12,24] by shapes");
  CHECK(origin_of(options, "num_heads") == "[1,3,4] by shapes");
  CHECK(origin_of(options, "window_size") == "[3,4,2] by shapes");
  CHECK(origin_of(options, "qkv_bias") == "false by shapes");
  CHECK(origin_of(load_swin(golden("plain")), "layer_norm_eps") == "1e-05 by default of timm");
  CHECK(origin_of(load_swin(golden("plain")), "pad_before_shift") == "false by default of timm");
}

TEST_CASE("a Swin Transformer of Hugging Face's gives the library's logits", "[swin][checkpoint]") {
  const fs::path folder = kSwinGolden / "hf";
  const SwinCheckpoint checkpoint = load_swin(folder / "model.safetensors");
  checkpoint.require_complete();
  CHECK(checkpoint.model.config.epsilon == 0.02);
  CHECK(checkpoint.model.config.embedding_epsilon == 1e-5);
  CHECK(checkpoint.model.config.pad_before_shift);
  CHECK(origin_of(checkpoint, "layer_norm_eps") == "0.02 by config.json");
  CHECK(checkpoint.preprocessing.crop_mode == vbp::io::CropMode::squash);
  CHECK(checkpoint.class_names.at(3) == "class 3");
  const vbp::io::SafetensorsFile file(folder / "expected.safetensors");
  const vbp::Vector<float> inputs = file.read_vector<float>("inputs");
  const vbp::Vector<double> expected = file.read_vector<double>("logits");
  vbp::SwinInference<float> inference(checkpoint.model, vbp::Context(1));
  const Matrix<float> logits =
      inference(Eigen::Map<const Matrix<float>>(inputs.data(), 2, inputs.size() / 2));
  CHECK(relative_distance(logits, Eigen::Map<const Matrix<double>>(expected.data(), 2, 7)) < 1e-5);

  // The same without the prefix, with what else such files hold, and without a bias that changes nothing.
  const TemporaryFolder other;
  TensorFile bare(folder / "model.safetensors");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : bare.tensors) {
    if (name.starts_with("swin.")) names.push_back(name);
  }
  for (const std::string& name : names) bare.rename(name, name.substr(5));
  bare.add("encoder.layers.1.blocks.0.attention.self.relative_position_index", {9, 9});
  bare.add("embeddings.mask_token", {1, 1, 6});
  for (const char* name : {"config.json", "preprocessor_config.json"})
    fs::copy(folder / name, other.path() / name);
  const SwinCheckpoint same = load_swin(bare.write(other.path() / "model.safetensors"));
  CHECK(vbp::fingerprint(same.model) == vbp::fingerprint(checkpoint.model));
  CHECK(same.ignored.size() == 2);
  bare.tensors.erase("encoder.layers.1.blocks.0.attention.self.key.bias");
  const SwinCheckpoint without = load_swin(bare.write(other.path() / "model.safetensors"));
  vbp::SwinInference<float> twin(without.model, vbp::Context(1));
  CHECK(relative_distance(twin(Eigen::Map<const Matrix<float>>(inputs.data(), 2, inputs.size() / 2)),
                          logits) < 1e-5);
  bare.tensors.erase("encoder.layers.1.blocks.0.attention.self.value.weight");
  check_refused(bare.write(other.path() / "model.safetensors"),
                "the tensor attention.self.value of layers.1.blocks.0.attn.qkv.weight is missing");
}

TEST_CASE("a saved Swin is read back whole", "[swin][checkpoint]") {
  const TemporaryFolder folder;
  for (const fs::path& path :
       {golden("widths"), golden("options"), kSwinGolden / "hf" / "model.safetensors"}) {
    INFO(path);
    SwinCheckpoint checkpoint = load_swin(path);
    auto& block = checkpoint.model.blocks[1];
    block.set_weights(block.fc1.weight.topRows(9), block.fc1.bias.head(9), block.fc2.weight.leftCols(9),
                      block.fc2.bias);
    checkpoint.metadata["note"] = "kept";
    vbp::save_checkpoint(folder.path() / "saved.safetensors", checkpoint);
    const SwinCheckpoint read = load_swin(folder.path() / "saved.safetensors");
    CHECK(vbp::fingerprint(read.model) == vbp::fingerprint(checkpoint.model));
    CHECK(read.preprocessing.to_string() == checkpoint.preprocessing.to_string());
    CHECK(read.class_names == checkpoint.class_names);
    CHECK(read.metadata.at("note") == "kept");
    // timm has to be able to read it: names and shapes are its own.
    const vbp::io::SafetensorsFile file(folder.path() / "saved.safetensors");
    CHECK(file.tensor("patch_embed.proj.weight").shape.size() == 4);
    CHECK(file.tensor("layers.1.downsample.reduction.weight").shape == std::vector<Index>{12, 24});
    CHECK(file.tensor("layers.1.blocks.0.attn.qkv.weight").shape == std::vector<Index>{36, 12});
    CHECK(file.tensor("layers.0.blocks.1.mlp.fc1.weight").shape == std::vector<Index>{9, 6});
    CHECK(file.tensor("layers.0.blocks.0.norm1.bias").shape == std::vector<Index>{6});
  }
}

TEST_CASE("a Swin Transformer runs at the size that an option asks for", "[swin][checkpoint]") {
  const SwinCheckpoint checkpoint = load_swin(golden("plain"), {{"image_size", "75"}});
  CHECK(checkpoint.model.config.side(0) == 18);
  CHECK(checkpoint.preprocessing.image_size == 75);
  CHECK(origin_of(checkpoint, "image_size") == "75 by option");
  check_refused(golden("plain"), "too small", {{"image_size", "3"}});
  check_refused<vbp::ValueError>(golden("plain"), "1024 patches", {{"image_size", "100000"}});
  check_refused<vbp::ValueError>(golden("plain"), "unknown option \"dim\"", {{"dim", "3"}});
  check_refused<vbp::ValueError>(golden("plain"), "global_pool", {{"global_pool", "max"}});
  check_refused(golden("plain"), "the tensors say [4,4,2]", {{"window_size", "[7,7,7]"}});
  check_refused(kSwinGolden / "hf" / "model.safetensors", "no multiple of the patch size 4",
                {{"image_size", "30"}});
  CHECK(load_swin(golden("plain"), {{"pad_before_shift", "true"}}).model.config.pad_before_shift);
}

TEST_CASE("the name of a Swin Transformer's published weights tells what its tensors do not",
          "[swin][checkpoint]") {
  const TemporaryFolder folder;
  TensorFile file(golden("plain"));
  file.metadata = {{"architecture", "swin_base_patch4_window12_384.ms_in22k_ft_in1k"}};
  const fs::path path = file.write(folder.path() / "model.safetensors");
  const SwinCheckpoint checkpoint = load_swin(path);
  checkpoint.require_complete();
  CHECK(origin_of(checkpoint, "image_size") == "384 by architecture name");
  CHECK(checkpoint.preprocessing.crop_pct == 1.0);
  file.metadata = {{"architecture", "swin_tiny_patch4_window7_224"}, {"image_size", "32"}};
  file.write(path);
  CHECK_THROWS_WITH(load_swin(path).require_complete(), Catch::Matchers::Contains("mean, std"));
  file.metadata.clear();
  check_refused(file.write(path), "nothing says image_size");
}

TEST_CASE("files that are no Swin Transformer of the first version are refused with the reason",
          "[swin][checkpoint]") {
  check_refused(kSwinGolden.parent_path() / "vit" / "plain.safetensors",
                "holds no Swin Transformer: neither layers.0.blocks.0.norm1.weight");
  check_refused_after(
      [](TensorFile& f) {
        f.add("layers.0.blocks.0.attn.logit_scale", {2, 1, 1});
      },
      "second version");
  check_refused_after(
      [](TensorFile& f) {
        f.add("absolute_pos_embed", {1, 64, 6});
      },
      "\"absolute_pos_embed\" has no place in a plain Swin Transformer");
  check_refused_after([](TensorFile& f) { f.add("layers.1.blocks.7.norm1.bias", {12}); }, "no place");
  check_refused_after([](TensorFile& f) { f.tensors.erase("layers.1.blocks.1.norm2.bias"); },
                      "layers.1.blocks.1.norm2.bias is missing");
  check_refused_after(
      [](TensorFile& f) {
        f.add("layers.0.blocks.0.attn.relative_position_bias_table", {48, 2});
      },
      "48 rows, which is not (2 w - 1)^2");
  check_refused_after(
      [](TensorFile& f) {
        f.add("layers.0.blocks.1.attn.relative_position_bias_table", {25, 2});
      },
      "has the shape [25,2], not [49,2]");
  check_refused_after(
      [](TensorFile& f) {
        for (const char* block : {"0", "1"}) {
          f.add("layers.0.blocks." + std::string(block) + ".attn.relative_position_bias_table", {49, 4});
        }
      },
      "a width of 6 is no multiple of 4 heads");
  check_refused_after([](TensorFile& f) { f.add("patch_embed.proj.weight", {6, 3, 4, 3}); }, "not square");
  check_refused_after([](TensorFile& f) { f.add("patch_embed.proj.weight", {6, 2, 4, 4}); }, "2 channels");
  check_refused_after(
      [](TensorFile& f) {
        f.add("head.fc.weight", {7, 23});
      },
      "head.fc.weight has the shape");
  check_refused_after(
      [](TensorFile& f) { f.tensors["head.fc.bias"].values[2] = std::numeric_limits<float>::infinity(); },
      "head.fc.bias holds NaN or infinite");
  check_refused_after([](TensorFile& f) { f.metadata["dims"] = "[6,12,25]"; }, "dims is");
  check_refused_after([](TensorFile& f) { f.metadata["depths"] = "[2,2]"; }, "depths is");
  check_refused_after([](TensorFile& f) { f.metadata["num_heads"] = "[2,2,2]"; }, "num_heads is");
  check_refused_after([](TensorFile& f) { f.metadata["num_classes"] = "8"; }, "num_classes is");
  check_refused_after([](TensorFile& f) { f.metadata["layer_norm_eps"] = "2"; },
                      "does not lie between 0 and 1");
}
