#include "vbp/models/convnext/checkpoint.hpp"

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/convnext.hpp"
#include "support/folder.hpp"
#include "support/tensor_file.hpp"
#include "vbp/models/convnext/forward.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::ConvNextCheckpoint;
using vbp::Index;
using vbp::Matrix;
using vbp_test::golden_convnext;
using vbp_test::kConvNextGolden;
using vbp_test::relative_distance;
using vbp_test::TemporaryFolder;
using vbp_test::TensorFile;

ConvNextCheckpoint load_convnext(const fs::path& path, const vbp::SettingTexts& options = {}) {
  return vbp::load_checkpoint<vbp::ConvNext<float>>(path, options);
}

fs::path golden(const std::string& name) {
  return kConvNextGolden / (name + ".safetensors");
}

std::string origin_of(const ConvNextCheckpoint& checkpoint, const std::string& key) {
  for (const vbp::ConfigValue& value : checkpoint.values) {
    if (value.key == key) return value.value + " by " + value.origin;
  }
  return "";
}

template <class Expected = vbp::FileError>
void check_refused(const fs::path& path, const std::string& part,
                   const std::map<std::string, std::string>& options = {}) {
  CHECK_THROWS_AS(load_convnext(path, options), Expected);
  CHECK_THROWS_WITH(load_convnext(path, options), Catch::Matchers::Contains(part));
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

TEST_CASE("a ConvNeXt of timm's is read with all of its configuration", "[convnext][checkpoint]") {
  for (const std::string name : {"plain", "widths", "options"}) {
    INFO(name);
    const ConvNextCheckpoint checkpoint = load_convnext(golden(name));
    checkpoint.require_complete();
    CHECK(vbp::fingerprint(checkpoint.model) == vbp::fingerprint(golden_convnext(name)));
    CHECK(checkpoint.model.config.architecture == "convnext_golden");
    CHECK(checkpoint.preprocessing.image_size == checkpoint.model.config.image_size);
    CHECK(checkpoint.preprocessing.crop_pct == 0.875);
    CHECK(checkpoint.class_names.size() == 7);
    CHECK(checkpoint.ignored.empty());
  }
  const ConvNextCheckpoint options = load_convnext(golden("options"));
  CHECK(origin_of(options, "layer_norm_eps") == "0.01 by metadata");
  CHECK(origin_of(options, "head_norm_eps") == "0.01 by metadata");
  CHECK(origin_of(options, "activation") == "gelu_tanh by metadata");
  CHECK(origin_of(options, "dims") == "[8,12,20,24] by shapes");
  CHECK(origin_of(options, "layer_scale") == "false by shapes");
  CHECK(origin_of(load_convnext(golden("plain")), "layer_norm_eps") == "1e-06 by default of timm");
}

TEST_CASE("a ConvNeXt of Hugging Face's gives the library's logits", "[convnext][checkpoint]") {
  const fs::path folder = kConvNextGolden / "hf";
  const ConvNextCheckpoint checkpoint = load_convnext(folder / "model.safetensors");
  checkpoint.require_complete();
  CHECK(checkpoint.model.config.epsilon == 1e-6);
  CHECK(checkpoint.model.config.head_epsilon == 0.02);
  CHECK(origin_of(checkpoint, "head_norm_eps") == "0.02 by config.json");
  CHECK(checkpoint.preprocessing.crop_pct == 0.875);
  CHECK(checkpoint.preprocessing.crop_mode == vbp::io::CropMode::center);
  CHECK(checkpoint.class_names.at(3) == "class 3");
  const vbp::io::SafetensorsFile file(folder / "expected.safetensors");
  const vbp::Vector<float> inputs = file.read_vector<float>("inputs");
  const vbp::Vector<double> expected = file.read_vector<double>("logits");
  vbp::ConvNextInference<float> inference(checkpoint.model, vbp::Context(1));
  const Matrix<float> logits =
      inference(Eigen::Map<const Matrix<float>>(inputs.data(), 2, inputs.size() / 2));
  CHECK(relative_distance(logits, Eigen::Map<const Matrix<double>>(expected.data(), 2, 7)) < 1e-5);

  // The same without the prefix, and with the MLP as pointwise convolutions.
  const TemporaryFolder other;
  TensorFile bare(folder / "model.safetensors");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : bare.tensors) {
    if (name.starts_with("convnext.")) names.push_back(name);
  }
  for (const std::string& name : names) bare.rename(name, name.substr(9));
  bare.tensors.at("encoder.stages.1.layers.1.pwconv1.weight").shape = {48, 12, 1, 1};
  for (const char* name : {"config.json", "preprocessor_config.json"})
    fs::copy(folder / name, other.path() / name);
  CHECK(vbp::fingerprint(load_convnext(bare.write(other.path() / "model.safetensors")).model) ==
        vbp::fingerprint(checkpoint.model));
}

TEST_CASE("a saved ConvNeXt is read back whole", "[convnext][checkpoint]") {
  const TemporaryFolder folder;
  for (const fs::path& path :
       {golden("widths"), golden("options"), kConvNextGolden / "hf" / "model.safetensors"}) {
    INFO(path);
    ConvNextCheckpoint checkpoint = load_convnext(path);
    auto& block = checkpoint.model.blocks[1];
    block.set_weights(block.fc1.weight.topRows(9), block.fc1.bias.head(9), block.fc2.weight.leftCols(9),
                      block.fc2.bias);
    checkpoint.metadata["note"] = "kept";
    vbp::save_checkpoint(folder.path() / "saved.safetensors", checkpoint);
    const ConvNextCheckpoint read = load_convnext(folder.path() / "saved.safetensors");
    CHECK(vbp::fingerprint(read.model) == vbp::fingerprint(checkpoint.model));
    CHECK(read.preprocessing.to_string() == checkpoint.preprocessing.to_string());
    CHECK(read.class_names == checkpoint.class_names);
    CHECK(read.metadata.at("note") == "kept");
    // timm has to be able to read it: names and shapes are its own.
    const vbp::io::SafetensorsFile file(folder.path() / "saved.safetensors");
    CHECK(file.tensor("stages.1.blocks.0.conv_dw.weight").shape == std::vector<Index>{12, 1, 7, 7});
    CHECK(file.tensor("stages.1.downsample.1.weight").shape == std::vector<Index>{12, 8, 2, 2});
    CHECK(file.tensor("stages.1.blocks.0.mlp.fc1.weight").shape == std::vector<Index>{9, 12});
  }
}

TEST_CASE("a ConvNeXt runs at the size that an option asks for", "[convnext][checkpoint]") {
  const ConvNextCheckpoint checkpoint = load_convnext(golden("plain"), {{"image_size", "75"}});
  CHECK(checkpoint.model.config.side(0) == 18);
  CHECK(checkpoint.preprocessing.image_size == 75);
  CHECK(origin_of(checkpoint, "image_size") == "75 by option");
  check_refused(golden("plain"), "too small", {{"image_size", "31"}});
  check_refused<vbp::ValueError>(golden("plain"), "1024 patches", {{"image_size", "100000"}});
  check_refused<vbp::ValueError>(golden("plain"), "unknown option \"num_heads\"", {{"num_heads", "3"}});
  check_refused<vbp::ValueError>(golden("plain"), "global_pool", {{"global_pool", "max"}});
}

TEST_CASE("the name of a ConvNeXt's published weights tells what its tensors do not",
          "[convnext][checkpoint]") {
  const TemporaryFolder folder;
  TensorFile file(golden("plain"));
  file.metadata = {{"architecture", "convnext_tiny.fb_in22k_ft_in1k_384"}};
  const fs::path path = file.write(folder.path() / "model.safetensors");
  const ConvNextCheckpoint checkpoint = load_convnext(path);
  checkpoint.require_complete();
  CHECK(origin_of(checkpoint, "image_size") == "384 by architecture name");
  CHECK(checkpoint.preprocessing.crop_mode == vbp::io::CropMode::squash);
  file.metadata = {{"architecture", "convnext_xxlarge"}, {"image_size", "32"}};
  file.write(path);
  CHECK(load_convnext(path).model.config.epsilon == 1e-5);
  CHECK_THROWS_WITH(load_convnext(path).require_complete(), Catch::Matchers::Contains("mean, std"));
  file.metadata.clear();
  check_refused(file.write(path), "nothing says image_size");
}

TEST_CASE("files that are no ConvNeXt of the first version are refused with the reason",
          "[convnext][checkpoint]") {
  check_refused(kConvNextGolden.parent_path() / "vit" / "plain.safetensors",
                "holds no ConvNeXt: neither stem.0.weight");
  check_refused_after([](TensorFile& f) { f.add("stages.0.blocks.0.mlp.grn.weight", {32}); },
                      "second version");
  check_refused_after([](TensorFile& f) { f.add("norm_pre.weight", {24}); },
                      "\"norm_pre.weight\" has no place in a plain ConvNeXt");
  check_refused_after([](TensorFile& f) { f.add("stages.1.blocks.7.gamma", {12}); }, "no place");
  check_refused_after([](TensorFile& f) { f.tensors.erase("stages.2.blocks.1.norm.bias"); },
                      "stages.2.blocks.1.norm.bias is missing");
  check_refused_after([](TensorFile& f) { f.tensors.erase("stages.0.blocks.0.conv_dw.weight"); },
                      "there are no blocks");
  check_refused_after(
      [](TensorFile& f) {
        f.add("stages.0.blocks.0.conv_dw.weight", {8, 1, 5, 5});
      },
      "stages.0.blocks.0.conv_dw.weight has the shape [8,1,5,5], not [8,1,7,7]");
  check_refused_after([](TensorFile& f) { f.add("stem.0.weight", {8, 3, 4, 3}); }, "not square");
  check_refused_after([](TensorFile& f) { f.add("stem.0.weight", {8, 2, 4, 4}); }, "2 channels");
  check_refused_after(
      [](TensorFile& f) {
        f.add("head.fc.weight", {7, 23});
      },
      "head.fc.weight has the shape");
  check_refused_after(
      [](TensorFile& f) { f.tensors["head.fc.bias"].values[2] = std::numeric_limits<float>::infinity(); },
      "head.fc.bias holds NaN or infinite");
  check_refused_after([](TensorFile& f) { f.metadata["dims"] = "[8,12,20,25]"; }, "dims is");
  check_refused_after([](TensorFile& f) { f.metadata["depths"] = "[1,1,2]"; }, "depths is");
  check_refused_after([](TensorFile& f) { f.metadata["num_classes"] = "8"; }, "num_classes is");
  check_refused_after([](TensorFile& f) { f.metadata["layer_norm_eps"] = "2"; },
                      "does not lie between 0 and 1");
}
