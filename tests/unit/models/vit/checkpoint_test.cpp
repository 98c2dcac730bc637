#include "vbp/models/vit/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/shared.hpp"
#include "support/tensor_file.hpp"
#include "vbp/core/error.hpp"
#include "vbp/io/safetensors.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using vbp::Index;
using vbp::VitCheckpoint;
using vbp_test::TemporaryFolder;
using File = vbp_test::TensorFile;
using vbp_test::Tensor;

VitCheckpoint load_vit(const fs::path& path, const vbp::SettingTexts& options = {}) {
  return vbp::load_checkpoint<vbp::VisionTransformer<float>>(path, options);
}

const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden";

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

json read_json(const fs::path& path) {
  std::ifstream stream(path);
  return json::parse(stream);
}

/// The message of the Expected that a call throws.
template <class Expected, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Expected& error) {
    const std::string message = error.what();
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
  FAIL("nothing was thrown");
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text << "\n  shall contain\n" << part);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

/// The FileError on loading a file, which must name the file first.
std::string load_error(const fs::path& path, const std::map<std::string, std::string>& options = {}) {
  const std::string message = message_of<vbp::FileError>([&] { (void)load_vit(path, options); });
  CHECK(message.starts_with(path.parent_path().string()));
  return message;
}

std::pair<std::string, std::string> value_of(const VitCheckpoint& checkpoint, const std::string& key) {
  for (const vbp::ConfigValue& value : checkpoint.values) {
    if (value.key == key) return {value.value, value.origin};
  }
  return {};
}

using Pair = std::pair<std::string, std::string>;

void check_same_parameters(const vbp::VisionTransformer<float>& a, const vbp::VisionTransformer<float>& b) {
  std::map<std::string, std::vector<float>> first;
  const auto elements = [](const auto& parameter) {
    return std::vector<float>(parameter.data(), parameter.data() + parameter.size());
  };
  vbp::for_each_parameter(a, [&](const std::string& name, const auto& parameter, Index, Index) {
    first[name] = elements(parameter);
  });
  std::size_t count = 0;
  vbp::for_each_parameter(b, [&](const std::string& name, const auto& parameter, Index, Index) {
    INFO(name);
    CHECK(first[name] == elements(parameter));
    ++count;
  });
  CHECK(count == first.size());
}

fs::path plain() {
  return kGolden / "vit" / "plain.safetensors";
}

fs::path hugging_face(const std::string& name) {
  return kGolden / "hf" / name / "model.safetensors";
}

/// Every model that the golden directory has.
std::vector<fs::path> all_models() {
  std::vector<fs::path> result;
  for (const auto& entry : fs::directory_iterator(kGolden / "vit")) {
    const std::string name = entry.path().filename().string();
    if (name.find("expected") == std::string::npos && name != "pos_embed.safetensors") {
      result.push_back(entry.path());
    }
  }
  for (const char* kind : {"hf", "timm"}) {
    for (const auto& entry : fs::directory_iterator(kGolden / kind)) {
      result.push_back(entry.path() / "model.safetensors");
    }
  }
  return result;
}

/// The same network under timm's names, by a table of this test's own.
File to_timm(const File& file, const std::string& prefix, Index depth) {
  File result;
  const auto copy = [&](const std::string& from, const std::string& to) {
    const auto found = file.tensors.find(from);
    if (found != file.tensors.end()) result.tensors[to] = found->second;
  };
  for (const std::string end : {".weight", ".bias"}) {
    copy(prefix + "embeddings.patch_embeddings.projection" + end, "patch_embed.proj" + end);
    copy(prefix + "layernorm" + end, "norm" + end);
    copy("classifier" + end, "head" + end);
    for (Index i = 0; i < depth; ++i) {
      const std::string from = prefix + "encoder.layer." + std::to_string(i) + ".";
      const std::string to = "blocks." + std::to_string(i) + ".";
      copy(from + "layernorm_before" + end, to + "norm1" + end);
      copy(from + "layernorm_after" + end, to + "norm2" + end);
      copy(from + "attention.output.dense" + end, to + "attn.proj" + end);
      copy(from + "intermediate.dense" + end, to + "mlp.fc1" + end);
      copy(from + "output.dense" + end, to + "mlp.fc2" + end);
      Tensor joined;
      for (const std::string part : {"query", "key", "value"}) {
        const auto found = file.tensors.find(from + "attention.attention." + part + end);
        if (found == file.tensors.end()) continue;
        joined.shape = found->second.shape;
        joined.values.insert(joined.values.end(), found->second.values.begin(), found->second.values.end());
      }
      if (joined.values.empty()) continue;
      joined.shape[0] *= 3;
      result.tensors[to + "attn.qkv" + end] = joined;
    }
  }
  copy(prefix + "embeddings.cls_token", "cls_token");
  copy(prefix + "embeddings.position_embeddings", "pos_embed");
  return result;
}

}  // namespace

TEST_CASE("a timm file is read with its metadata", "[vit][checkpoint]") {
  const VitCheckpoint checkpoint = load_vit(plain());
  const vbp::VitConfig& config = checkpoint.model.config;
  CHECK(config.architecture == "vit_golden");
  CHECK(config.image_size == 16);
  CHECK(config.patch_size == 4);
  CHECK(config.channels == 3);
  CHECK(config.dim == 24);
  CHECK(config.heads == 2);
  CHECK(config.hidden_widths == std::vector<Index>{48, 48});
  CHECK(config.classes == 7);
  CHECK(config.class_token);
  CHECK(config.position_covers_prefix);
  CHECK(config.qkv_bias);
  CHECK_FALSE(config.distillation_token);
  CHECK_FALSE(config.layer_scale);
  CHECK(config.norm);
  CHECK_FALSE(config.fc_norm);
  CHECK(config.epsilon == 1e-6);
  CHECK(checkpoint.preprocessing.image_size == 16);
  CHECK(checkpoint.preprocessing.crop_pct == 0.9);
  CHECK(checkpoint.preprocessing.mean == std::array<double, 3>{0.485, 0.456, 0.406});
  CHECK(checkpoint.preprocessing.std == std::array<double, 3>{0.229, 0.224, 0.225});
  CHECK(checkpoint.class_names.size() == 7);
  CHECK(checkpoint.class_names.at(6) == "class 6");
  CHECK(checkpoint.unresolved.empty());
  CHECK(checkpoint.ignored.empty());
  CHECK_NOTHROW(checkpoint.require_complete());
  CHECK_NOTHROW(checkpoint.model.validate());
  CHECK(value_of(checkpoint, "num_heads") == Pair("2", "metadata"));
  CHECK(value_of(checkpoint, "layer_norm_eps") == Pair("1e-06", "metadata"));
  CHECK(value_of(checkpoint, "dim") == Pair("24", "shapes"));
  CHECK(value_of(checkpoint, "hidden_widths") == Pair("[48,48]", "shapes"));
  CHECK(value_of(checkpoint, "activation") == Pair("gelu", "default of timm"));
  CHECK(value_of(checkpoint, "crop_mode") == Pair("center", "default of timm"));
  CHECK(value_of(checkpoint, "layer_scale") == Pair("false", "shapes"));

  // Element by element: a patch weight [dim, 3, 4, 4] keeps its order, tokens lose their leading ones.
  const File file(plain());
  const auto& patch = file.tensors.at("patch_embed.proj.weight").values;
  CHECK(checkpoint.model.patch_embed.weight(5, (2 * 4 + 1) * 4 + 3) == patch[((5 * 3 + 2) * 4 + 1) * 4 + 3]);
  CHECK(checkpoint.model.positions(16, 23) == file.tensors.at("pos_embed").values[16 * 24 + 23]);
  CHECK(checkpoint.model.blocks[1].fc2.weight(3, 40) ==
        file.tensors.at("blocks.1.mlp.fc2.weight").values[3 * 48 + 40]);
}

TEST_CASE("every part of a network is recognised by its tensors", "[vit][checkpoint]") {
  const auto config = [](const std::string& name) {
    return load_vit(kGolden / "vit" / (name + ".safetensors")).model.config;
  };
  CHECK(config("layer_scale").layer_scale);
  CHECK_FALSE(config("no_qkv_bias").qkv_bias);
  CHECK(config("distilled").distillation_token);
  CHECK(config("distilled").register_tokens == 0);
  CHECK(config("gelu_tanh").activation == vbp::Activation::gelu_tanh);
  CHECK(config("epsilon").epsilon == 0.01);
  CHECK(config("average_pool").pooling == vbp::Pooling::average);
  CHECK(config("average_pool").fc_norm);
  CHECK_FALSE(config("average_pool").norm);
  CHECK(config("average_pool_norm_first").pooling == vbp::Pooling::average);
  CHECK(config("average_pool_norm_first").norm);
  CHECK_FALSE(config("no_class_token").class_token);
  CHECK(config("registers").register_tokens == 4);
  CHECK_FALSE(config("registers").position_covers_prefix);
  CHECK(config("registers_embedded").register_tokens == 3);
  CHECK(config("registers_embedded").position_covers_prefix);
  CHECK(config("widths").hidden_widths == std::vector<Index>{37, 16, 5});
  CHECK(config("one_channel").channels == 1);
  const VitCheckpoint gray = load_vit(kGolden / "vit" / "one_channel.safetensors");
  CHECK(gray.preprocessing.mean == std::array<double, 3>{0.485, 0.485, 0.485});
  CHECK(value_of(gray, "mean").first == "[0.485]");
}

TEST_CASE("what the metadata do not say the tensors do", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  for (const char* name :
       {"average_pool", "no_class_token", "registers", "registers_embedded", "distilled"}) {
    INFO(name);
    const fs::path path = kGolden / "vit" / (std::string(name) + ".safetensors");
    File file(path);
    for (const char* key : {"global_pool", "no_embed_class", "reg_tokens", "image_size", "patch_size"}) {
      file.metadata.erase(key);
    }
    const VitCheckpoint stripped = load_vit(file.write(folder / "stripped.safetensors"));
    CHECK(vbp::fingerprint(stripped.model) == vbp::fingerprint(load_vit(path).model));
    CHECK(value_of(stripped, "image_size") == Pair("16", "shapes"));
    CHECK(value_of(stripped, "no_embed_class").second == "shapes");
  }
}

TEST_CASE("other element types give the same numbers", "[vit][checkpoint]") {
  const auto load = [](const std::string& name) {
    return load_vit(kGolden / "vit" / (name + ".safetensors")).model;
  };
  const auto reference = load("plain");
  CHECK(vbp::fingerprint(load("plain_f64")) == vbp::fingerprint(reference));
  const auto difference = [&](const std::string& name) {
    const vbp::Matrix<float>& weight = reference.blocks[0].qkv.weight;
    return ((load(name).blocks[0].qkv.weight - weight).array() / weight.array()).abs().maxCoeff();
  };
  // Half a unit in the last place: 11 and 8 significant bits.
  CHECK(difference("plain_f16") <= 0x1p-11F * 1.001F);
  CHECK(difference("plain_f16") > 0x1p-13F);
  CHECK(difference("plain_bf16") <= 0x1p-8F * 1.001F);
  CHECK(difference("plain_bf16") > 0x1p-10F);
}

TEST_CASE("a Hugging Face ViT is the same model as its timm twin", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  for (const std::string name : {"vit", "vit_gelu_tanh"}) {
    INFO(name);
    const VitCheckpoint theirs = load_vit(hugging_face(name));
    File twin = to_timm(File(hugging_face(name)), "vit.", 2);
    twin.metadata = {{"num_heads", "2"}, {"mean", "[0.5, 0.5, 0.5]"}, {"std", "[0.5, 0.5, 0.5]"}};
    twin.metadata["layer_norm_eps"] = name == "vit" ? "1e-12" : "0.001";
    if (name != "vit") twin.metadata["activation"] = "gelu_tanh";
    const VitCheckpoint timms = load_vit(twin.write(folder / "twin.safetensors"));
    check_same_parameters(theirs.model, timms.model);
    CHECK(vbp::fingerprint(theirs.model) == vbp::fingerprint(timms.model));
    CHECK(theirs.model.config.qkv_bias == (name == "vit"));
  }
}

TEST_CASE("fingerprints differ where models do", "[vit][checkpoint]") {
  const VitCheckpoint checkpoint = load_vit(plain());
  const auto original = vbp::fingerprint(checkpoint.model);
  auto model = checkpoint.model;
  CHECK(vbp::fingerprint(model) == original);
  model.config.architecture = "another name";
  CHECK(vbp::fingerprint(model) == original);
  model.blocks[1].fc2.bias[0] = std::nextafter(model.blocks[1].fc2.bias[0], 100.0F);
  CHECK(vbp::fingerprint(model) != original);
  const auto changed = [&](auto&& change) {
    auto other = checkpoint.model;
    change(other.config);
    return vbp::fingerprint(other) != original;
  };
  CHECK(changed([](auto& config) { config.heads = 4; }));
  CHECK(changed([](auto& config) { config.epsilon = 1e-5; }));
  CHECK(changed([](auto& config) { config.activation = vbp::Activation::gelu_tanh; }));
  CHECK(changed([](auto& config) { config.pooling = vbp::Pooling::average; }));
}

TEST_CASE("Hugging Face's configuration is understood", "[vit][checkpoint]") {
  const VitCheckpoint vit = load_vit(hugging_face("vit"));
  CHECK(value_of(vit, "num_heads") == Pair("2", "config.json"));
  CHECK(value_of(vit, "layer_norm_eps") == Pair("1e-12", "config.json"));
  CHECK(value_of(vit, "image_size") == Pair("16", "config.json"));
  CHECK(value_of(vit, "mean") == Pair("[0.5,0.5,0.5]", "preprocessor_config.json"));
  CHECK(vit.class_names.at(3) == "class 3");
  CHECK(vit.preprocessing.crop_mode == vbp::io::CropMode::squash);
  CHECK(vit.preprocessing.crop_pct == 1.0);
  CHECK(vit.preprocessing.interpolation == vbp::io::Interpolation::bilinear);
  CHECK(vit.unresolved.empty());
  CHECK(load_vit(hugging_face("vit_gelu_tanh")).model.config.activation == vbp::Activation::gelu_tanh);

  const VitCheckpoint deit = load_vit(hugging_face("deit_distilled"));
  CHECK(deit.model.config.distillation_token);
  CHECK(deit.model.head_distillation.weight.rows() == 7);
  CHECK(deit.preprocessing.crop_mode == vbp::io::CropMode::squash);
  CHECK(std::floor(16.0 / deit.preprocessing.crop_pct) == 18.0);

  const VitCheckpoint dino = load_vit(hugging_face("dinov2"));
  CHECK(dino.model.config.pooling == vbp::Pooling::class_token_and_average);
  CHECK(dino.model.config.layer_scale);
  CHECK(dino.preprocessing.crop_mode == vbp::io::CropMode::center);
  CHECK(dino.ignored == std::vector<std::string>{"dinov2.embeddings.mask_token"});
}

TEST_CASE("a distillation token without a head becomes a register token", "[vit][checkpoint]") {
  const VitCheckpoint checkpoint = load_vit(hugging_face("deit"));
  const File file(hugging_face("deit"));
  CHECK_FALSE(checkpoint.model.config.distillation_token);
  CHECK(checkpoint.model.config.register_tokens == 1);
  CHECK(checkpoint.model.config.position_covers_prefix);
  const auto& token = file.tensors.at("deit.embeddings.distillation_token").values;
  CHECK(std::equal(token.begin(), token.end(), checkpoint.model.register_tokens.data()));
  CHECK(checkpoint.model.positions.rows() == 18);

  const TemporaryFolder folder;
  File timms(kGolden / "vit" / "distilled.safetensors");
  timms.tensors.erase("head_dist.weight");
  timms.tensors.erase("head_dist.bias");
  timms.add("reg_token", {1, 7, 24});
  // The square of patches is found among 25 = 2 + 7 + 16 positions only by the image size.
  timms.tensors["pos_embed"] = {{1, 25, 24}, std::vector<float>(25 * 24, 0.5F)};
  const VitCheckpoint both = load_vit(timms.write(folder / "both.safetensors"));
  CHECK(both.model.config.register_tokens == 8);
  CHECK(both.model.register_tokens(0, 0) == timms.tensors.at("dist_token").values[0]);
  CHECK(both.model.register_tokens(1, 0) == 0.25F);
}

TEST_CASE("the class token's position is folded where registers have none", "[vit][checkpoint]") {
  const VitCheckpoint checkpoint = load_vit(hugging_face("dinov2_registers"));
  const File file(hugging_face("dinov2_registers"));
  const std::string embeddings = "dinov2_with_registers.embeddings.";
  const auto& positions = file.tensors.at(embeddings + "position_embeddings").values;
  const auto& token = file.tensors.at(embeddings + "cls_token").values;
  CHECK_FALSE(checkpoint.model.config.position_covers_prefix);
  CHECK(checkpoint.model.positions.rows() == 16);
  for (std::size_t i = 0; i < 24; ++i) {
    CHECK(checkpoint.model.class_token[static_cast<Index>(i)] == token[i] + positions[i]);
    CHECK(checkpoint.model.positions(15, static_cast<Index>(i)) == positions[16 * 24 + i]);
  }
  const TemporaryFolder folder;
  File damaged = file;
  damaged.tensors.erase(embeddings + "cls_token");
  contains(load_error(damaged.write(folder / "damaged.safetensors")), "cls_token is missing");
}

TEST_CASE("a backbone is read without prefix and without head", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  File backbone;
  for (const auto& [name, tensor] : File(hugging_face("vit")).tensors) {
    if (name.starts_with("vit.")) backbone.tensors[name.substr(4)] = tensor;
  }
  backbone.add("pooler.dense.weight", {24, 24});
  backbone.add("pooler.dense.bias", {24});
  fs::copy(hugging_face("vit").parent_path() / "config.json", folder / "config.json");
  const VitCheckpoint checkpoint = load_vit(backbone.write(folder / "model.safetensors"));
  CHECK(checkpoint.model.config.classes == 0);
  CHECK(checkpoint.class_names.empty());
  CHECK(checkpoint.model.config.heads == 2);
  CHECK(checkpoint.ignored == std::vector<std::string>{"pooler.dense.bias", "pooler.dense.weight"});
  CHECK(checkpoint.unresolved == std::vector<std::string>{"mean", "std"});
}

TEST_CASE("a missing bias of the keys is zero, any other part is missed", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const fs::path source = hugging_face("vit").parent_path();
  fs::copy(source / "config.json", folder / "config.json");
  const std::string attention = "vit.encoder.layer.0.attention.attention.";
  File file(source / "model.safetensors");
  const File original = file;
  file.tensors.erase(attention + "key.bias");
  const VitCheckpoint checkpoint = load_vit(file.write(folder / "model.safetensors"));
  const auto& bias = checkpoint.model.blocks[0].qkv.bias;
  CHECK(bias.segment(24, 24).isZero(0));
  CHECK(bias[0] == original.tensors.at(attention + "query.bias").values[0]);
  CHECK(bias[48] == original.tensors.at(attention + "value.bias").values[0]);
  for (const char* part : {"query.bias", "value.bias", "key.weight", "value.weight"}) {
    INFO(part);
    File damaged = original;
    damaged.tensors.erase(attention + part);
    const std::string error = load_error(damaged.write(folder / "model.safetensors"));
    contains(error, std::string(part).substr(0, 3));
    contains(error, "blocks.0.attn.qkv");
  }
  File damaged = original;
  for (const char* part : {"query.bias", "key.bias", "value.bias"}) damaged.tensors.erase(attention + part);
  contains(load_error(damaged.write(folder / "model.safetensors")), "blocks.0.attn.qkv.bias is missing");
}

TEST_CASE("nothing that matters is guessed", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  File file(plain());
  file.metadata.clear();
  const fs::path path = file.write(folder / "bare.safetensors");
  const VitCheckpoint bare = load_vit(path);
  CHECK(bare.unresolved == std::vector<std::string>{"num_heads", "layer_norm_eps", "mean", "std"});
  CHECK(value_of(bare, "num_heads") == Pair());
  CHECK(value_of(bare, "mean") == Pair());
  CHECK(value_of(bare, "num_classes") == Pair("7", "shapes"));
  const std::string error = message_of<vbp::FileError>([&] { bare.require_complete(); });
  CHECK(error.starts_with(path.string()));
  contains(error, "num_heads, layer_norm_eps, mean, std");
  contains(error, "--set num_heads=... --set layer_norm_eps=...");
  contains(message_of<vbp::FileError>([&] { bare.require_network(); }),
           "nothing says num_heads, layer_norm_eps; give");
  // What is missing stops every use, not only the one that asks.
  CHECK_THROWS_AS(bare.model.validate(), vbp::ValueError);
  CHECK_THROWS_AS(vbp::io::validate(bare.preprocessing), vbp::ValueError);
  CHECK_THROWS_AS(vbp::save_checkpoint(folder / "out.safetensors", bare), vbp::ValueError);
  CHECK_FALSE(fs::exists(folder / "out.safetensors"));

  CHECK_NOTHROW(load_vit(path, {{"num_heads", "3"}, {"layer_norm_eps", "1e-6"}}).require_network());
  const VitCheckpoint given = load_vit(
      path, {{"num_heads", "3"}, {"layer_norm_eps", "1e-6"}, {"mean", "0.5"}, {"std", "0.1,0.2, 0.3"}});
  CHECK_NOTHROW(given.require_complete());
  CHECK(given.model.config.heads == 3);
  CHECK(value_of(given, "layer_norm_eps") == Pair("1e-06", "option"));
  CHECK(given.preprocessing.mean == std::array<double, 3>{0.5, 0.5, 0.5});
  CHECK(given.preprocessing.std == std::array<double, 3>{0.1, 0.2, 0.3});
}

TEST_CASE("the first source that has a value gives it", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  File file(plain());
  file.metadata = {{"layer_norm_eps", "0.002"}, {"num_heads", "4"}};
  write_text(folder / "config.json",
             R"({"layer_norm_eps": 0.003, "num_attention_heads": 6, "hidden_act": "gelu_new"})");
  write_text(folder / "preprocessor_config.json", R"({"image_mean": [0.1, 0.2, 0.3], "resample": 1})");
  const fs::path path = file.write(folder / "model.safetensors");
  const VitCheckpoint checkpoint = load_vit(path, {{"layer_norm_eps", "0.001"}});
  CHECK(value_of(checkpoint, "layer_norm_eps") == Pair("0.001", "option"));
  CHECK(value_of(checkpoint, "num_heads") == Pair("4", "metadata"));
  CHECK(value_of(checkpoint, "activation") == Pair("gelu_tanh", "config.json"));
  CHECK(value_of(checkpoint, "mean") == Pair("[0.1,0.2,0.3]", "preprocessor_config.json"));
  CHECK(value_of(checkpoint, "interpolation") == Pair("lanczos", "preprocessor_config.json"));
  CHECK(value_of(checkpoint, "crop_pct") == Pair("0.875", "default of timm"));
  CHECK(checkpoint.unresolved == std::vector<std::string>{"std"});

  // A value that a better source has is not looked at: the file beside may describe another model.
  write_text(folder / "config.json",
             R"({"num_hidden_layers": 99, "hidden_act": "relu", "num_attention_heads": 5})");
  contains(load_error(path), "depth is \"99\" (config.json), but the number of blocks is 2");
  file.metadata = load_vit(plain()).metadata;
  CHECK_NOTHROW(vbp::save_checkpoint(folder / "whole.safetensors", load_vit(plain())));
  CHECK(load_vit(folder / "whole.safetensors").model.config.heads == 2);
}

TEST_CASE("a config.json of timm is understood", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const VitCheckpoint hub = load_vit(kGolden / "timm" / "vit_tiny" / "model.safetensors");
  CHECK(value_of(hub, "architecture") == Pair("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "config.json"));
  CHECK(value_of(hub, "num_heads") == Pair("2", "config.json"));
  CHECK(value_of(hub, "layer_norm_eps") == Pair("1e-06", "architecture name"));
  CHECK(value_of(hub, "mean") == Pair("[0.5,0.5,0.5]", "config.json"));
  CHECK(value_of(hub, "crop_pct") == Pair("0.9", "config.json"));
  CHECK(hub.unresolved.empty());

  File file(plain());
  file.metadata.clear();
  // The layout of older releases: everything on the top level.
  write_text(folder / "config.json", R"({"architecture": "vit_base_patch16_224", "num_classes": 7,
    "global_pool": "avg", "mean": [0.1, 0.1, 0.1], "std": [0.2, 0.2, 0.2], "input_size": [3, 16, 16],
    "crop_pct": 0.95, "interpolation": "bilinear", "crop_mode": "squash",
    "label_names": ["a", "b", "c", "d", "e", "f", "g"],
    "model_args": {"num_heads": 4, "act_layer": "gelu_tanh"}})");
  const VitCheckpoint old = load_vit(file.write(folder / "model.safetensors"));
  CHECK(old.model.config.pooling == vbp::Pooling::average);
  CHECK(old.model.config.activation == vbp::Activation::gelu_tanh);
  CHECK(old.model.config.heads == 4);
  CHECK(old.preprocessing.crop_pct == 0.95);
  CHECK(old.preprocessing.crop_mode == vbp::io::CropMode::squash);
  CHECK(old.class_names.at(6) == "g");
  CHECK(old.unresolved.empty());
  write_text(folder / "config.json",
             R"({"architecture": "vit_base_patch16_224", "input_size": [3, 16, 24]})");
  contains(load_error(folder / "model.safetensors"), "image_size");
}

TEST_CASE("names of architectures say what all their models share", "[vit][checkpoint]") {
  using vbp::checkpoint_detail::architecture_settings;
  const auto heads = [](const std::string& name, Index dim) {
    const auto texts = architecture_settings(name, dim);
    const auto found = texts.find("num_heads");
    return found == texts.end() ? "" : found->second;
  };
  CHECK(heads("vit_tiny_patch16_224", 192) == "3");
  CHECK(heads("vit_small_patch14_dinov2", 384) == "6");
  CHECK(heads("vit_large_patch14_reg4_dinov2.lvd142m", 1024) == "16");
  CHECK(heads("deit_base_distilled_patch16_384.fb_in1k", 768) == "12");
  CHECK(heads("deit3_medium_patch16_224", 512) == "8");
  CHECK(heads("vit_tiny_patch16_224", 200) == "");
  for (const char* other :
       {"vit_huge_patch14_224", "vit_base_patch32_clip_224", "vit_base_patch16_rpn_224", "eva02_base",
        "vit_base_patch16_siglip_224", "vit_basex_patch16_224", "vit_base_patch_224", "vit_base", "",
        "deit_base_patch16_224_extra", "vit_mediumd_patch16_reg4_gap_256", "vit_base_patch14_reg_dinov2"}) {
    INFO(other);
    CHECK(architecture_settings(other, 768).empty());
  }
  const auto mean = [](const std::string& name) {
    const auto texts = architecture_settings(name, 768);
    CHECK(texts.at("layer_norm_eps") == "1e-06");
    const auto found = texts.find("mean");
    return found == texts.end() ? "" : found->second.substr(0, 4);
  };
  CHECK(mean("vit_base_patch16_224.augreg_in21k") == "[0.5");
  CHECK(mean("vit_base_patch16_224.augreg2_in21k_ft_in1k") == "[0.5");
  CHECK(mean("vit_base_patch16_224.mae") == "");
  CHECK(mean("vit_base_patch16_224") == "");
  CHECK(mean("vit_base_patch14_dinov2") == "[0.4");
  CHECK(mean("deit_base_patch16_224") == "[0.4");
  CHECK(mean("deit3_base_patch16_224") == "[0.4");
  CHECK(architecture_settings("deit_base_patch16_224", 768).at("crop_pct") == "0.9");
  CHECK(architecture_settings("deit_base_patch16_384", 768).at("crop_pct") == "1.0");
  CHECK(architecture_settings("vit_base_patch14_dinov2", 768).at("crop_pct") == "1.0");
  CHECK_FALSE(architecture_settings("deit3_base_patch16_224", 768).contains("crop_pct"));
}

TEST_CASE("contradictions name both sides", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& key, const std::string& value) {
    File file(plain());
    file.metadata[key] = value;
    return load_error(file.write(folder / "model.safetensors"));
  };
  const std::string classes = error("num_classes", "1000");
  contains(classes, "num_classes is \"1000\" (metadata)");
  contains(classes, "rows of head.weight number 7");
  contains(error("patch_size", "8"), "patch_size is \"8\" (metadata), but patch_embed.proj.weight");
  contains(error("channels", "1"), "channels is \"1\" (metadata)");
  contains(error("dim", "25"), "dim is \"25\" (metadata)");
  contains(error("depth", "3"), "depth is \"3\" (metadata), but the number of blocks is 2");
  contains(error("hidden_widths", "[48,47]"), "hidden_widths is \"[48,47]\" (metadata)");
  contains(error("hidden_widths", "[48,48,48]"), "rows of fc1 number [48,48]");
  contains(error("reg_tokens", "4"), "reg_tokens is \"4\" (metadata)");
  contains(error("image_size", "224"), "image_size is \"224\" (metadata), but pos_embed has 17 rows");
  contains(error("image_size", "17"), "image_size is \"17\" (metadata)");
  contains(error("no_embed_class", "true"), "pos_embed has 17 rows");
  contains(error("class_names", R"(["cat", "dog"])"), "2 class_names (metadata) for 7 classes");
  contains(error("global_pool", "token+avg"), "head.weight");
  contains(load_error(plain(), {{"num_classes", "8"}}), "num_classes is \"8\" (option)");
  CHECK_NOTHROW(load_vit(plain(), {{"hidden_widths", "48"}}));
}

TEST_CASE("malformed values are refused under their name", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& key, const std::string& value) {
    File file(plain());
    file.metadata[key] = value;
    const std::string message = load_error(file.write(folder / "model.safetensors"));
    contains(message, key);
    // The same text as an option is a mistake of the caller, not of the file.
    contains(message_of<vbp::ValueError>([&] { (void)load_vit(plain(), {{key, value}}); }), "option " + key);
    return message;
  };
  for (const char* value :
       {"six", "6.5", "-2", "", "0", "5", "[2]", "99999999999999999999", "1e400", "2 3"}) {
    INFO(value);
    error("num_heads", value);
  }
  for (const char* value : {"0", "1", "-1e-6", "tiny", "NaN", "[1e-6]"}) error("layer_norm_eps", value);
  for (const char* value : {"[0.5, 0.5]", "[]", "0.5 0.5 0.5", "[0.5, 0.5, \"0.5\"]", "{}", "null"}) {
    error("mean", value);
  }
  for (const char* value : {"[0.5, 0.5, 0]", "-1"}) error("std", value);
  for (const char* value : {"0", "1.5", "all", "-0.5"}) error("crop_pct", value);
  for (const char* value : {"nearest", "random", ""}) error("interpolation", value);
  for (const char* value : {"border", ""}) error("crop_mode", value);
  for (const char* value : {"relu", "quick_gelu", "silu", ""}) error("activation", value);
  for (const char* value : {"map", "avgmax", ""}) error("global_pool", value);
  for (const char* value : {"yes", "1", "True"}) error("no_embed_class", value);
  for (const char* value : {"cat, dog", "[1, 2]", "[]", "[\"a\""}) error("class_names", value);
  error("hidden_widths", "[48, 4.5]");
  contains(error("num_heads", "two\nlines"), "\"two\\nlines\"");
  contains(error("num_heads", std::string(500, '7')), "7...\"");

  const std::string unknown = message_of<vbp::ValueError>([&] { (void)load_vit(plain(), {{"heads", "3"}}); });
  contains(unknown, "unknown option \"heads\"");
  for (const std::string_view key : vbp::kVitKeys) contains(unknown, std::string(key));
}

TEST_CASE("malformed files beside are refused under their name", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const fs::path path = File(plain()).write(folder / "model.safetensors");
  const auto error = [&](const std::string& name, const std::string& text) {
    write_text(folder / name, text);
    const std::string message = load_error(path);
    fs::remove(folder / name);
    CHECK(message.starts_with((folder / name).string()));
    return message;
  };
  for (const std::string name : {"config.json", "preprocessor_config.json"}) {
    for (const char* text : {"", "{", "[]", "null", "{\"a\": 1e999}", "{\"a\": \"\xff\"}", "\"text\""}) {
      INFO(name << " " << text);
      contains(error(name, text), "is no JSON object");
    }
    const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
    contains(error(name, deep), "nests too deeply");
    fs::create_directory(folder / name);
    CHECK(load_error(path).starts_with((folder / name).string()));
    fs::remove(folder / name);
  }
  contains(error("config.json", R"({"id2label": {"0": "cat", "2": "dog"}})"), "id2label names no class 1");
  contains(error("config.json", R"({"id2label": {"0": 7}})"), "id2label names no class 0");
  const std::string preprocessor = "preprocessor_config.json";
  contains(error(preprocessor, R"({"size": {"height": 16, "width": 20}})"), "size names no square");
  contains(error(preprocessor, R"({"size": 1e9})"), "size names no square");
  contains(error(preprocessor, R"({"size": 16, "do_center_crop": true})"), "crop_size names no square");
  contains(error(preprocessor, R"({"size": 16, "crop_size": 20})"), "crop_size is larger than size");
  contains(error(preprocessor, R"({"size": 16, "do_resize": false})"), "do_resize is false");
  contains(error(preprocessor, R"({"do_rescale": 1})"), "do_rescale is neither true nor false");
  contains(error(preprocessor, R"({"rescale_factor": 0})"), "rescale_factor is not positive");
  contains(error(preprocessor, R"({"rescale_factor": "a"})"), "rescale_factor is no number");
}

TEST_CASE("every preprocessing of Hugging Face's has its equal", "[vit][checkpoint]") {
  using vbp::checkpoint_detail::preprocessor_settings;
  const TemporaryFolder folder;
  const auto settings = [&](const std::string& text) {
    write_text(folder / "p.json", text);
    return preprocessor_settings(folder / "p.json").value();
  };
  CHECK_FALSE(preprocessor_settings(folder / "missing.json"));
  // (x / 127.5 - 1) for bytes x, as mean and std of x / 255.
  auto texts =
      settings(R"({"rescale_factor": 0.00784313725490196, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]})");
  CHECK(json::parse(texts.at("mean"))[0].get<double>() == Approx(0.5).epsilon(1e-12));
  CHECK(json::parse(texts.at("std"))[2].get<double>() == Approx(0.5).epsilon(1e-12));
  texts = settings(R"({"do_rescale": false, "image_mean": [51, 51, 51], "image_std": [255, 255, 255]})");
  CHECK(json::parse(texts.at("mean"))[0].get<double>() == Approx(0.2).epsilon(1e-12));
  CHECK(json::parse(texts.at("std"))[0].get<double>() == Approx(1.0).epsilon(1e-12));
  // Decimals of 1/255 leave the numbers as they are, to the last digit.
  texts = settings(R"({"rescale_factor": 0.00392156862745098, "image_mean": [0.485, 0.456, 0.406]})");
  CHECK(texts.at("mean") == "[0.485,0.456,0.406]");
  texts = settings(R"({"do_normalize": false, "image_mean": [0.5, 0.5, 0.5]})");
  CHECK(json::parse(texts.at("mean")) == json({0.0, 0.0, 0.0}));
  CHECK(json::parse(texts.at("std")) == json({1.0, 1.0, 1.0}));

  CHECK(settings(R"({"size": 256, "crop_size": 224, "image_processor_type": "BitImageProcessor"})")
            .at("crop_mode") == "center");
  CHECK(settings(R"({"size": 256, "crop_size": 224, "feature_extractor_type": "DeiTFeatureExtractor"})")
            .at("crop_mode") == "squash");
  texts = settings(R"({"size": {"height": 224, "width": 224}, "crop_size": 99, "do_center_crop": false})");
  CHECK(texts.at("image_size") == "224");
  CHECK(texts.at("crop_pct") == "1.0");
  CHECK(settings(R"({"resample": 0})").at("interpolation") == "nearest");
  CHECK(settings(R"({"resample": 77})").at("interpolation") == "77");

  // The resize that the crop part stands for is the one asked for, whatever the division rounds to.
  for (int size = 200; size <= 600; ++size) {
    for (int crop = 196; crop <= size; crop += 7) {
      const json config{{"size", {{"shortest_edge", size}}}, {"crop_size", crop}};
      const double part = json::parse(settings(config.dump()).at("crop_pct")).get<double>();
      if (std::floor(crop / part) != size) FAIL(size << " " << crop);
    }
  }
}

TEST_CASE("another image size resamples the positions", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const VitCheckpoint resized = load_vit(plain(), {{"image_size", "24"}});
  CHECK(resized.model.config.image_size == 24);
  CHECK(resized.preprocessing.image_size == 24);
  CHECK(resized.model.positions == vbp::with_image_size(load_vit(plain()).model, 24).positions);
  CHECK(value_of(resized, "image_size") == Pair("24", "option (position embeddings resampled from 16)"));
  CHECK(value_of(load_vit(plain(), {{"image_size", "16"}}), "image_size") == Pair("16", "option"));
  for (const char* value : {"18", "0", "-4", "4000000"}) {
    INFO(value);
    CHECK_THROWS_AS(load_vit(plain(), {{"image_size", value}}), vbp::ValueError);
  }

  // DINOv2's classifiers are fed smaller images than the grid of positions is for.
  const fs::path source = hugging_face("dinov2").parent_path();
  fs::copy(source / "config.json", folder / "config.json");
  fs::copy(source / "model.safetensors", folder / "model.safetensors");
  json preprocessor = read_json(source / "preprocessor_config.json");
  preprocessor["crop_size"] = {{"height", 12}, {"width", 12}};
  write_text(folder / "preprocessor_config.json", preprocessor.dump());
  const VitCheckpoint fed = load_vit(folder / "model.safetensors");
  CHECK(fed.model.config.image_size == 12);
  CHECK(fed.preprocessing.image_size == 12);
  CHECK(std::floor(12.0 / fed.preprocessing.crop_pct) == 18.0);
  CHECK(value_of(fed, "image_size") ==
        Pair("12", "preprocessor_config.json (position embeddings resampled from 16)"));
  preprocessor["crop_size"] = 14;
  write_text(folder / "preprocessor_config.json", preprocessor.dump());
  contains(load_error(folder / "model.safetensors"), "no positive multiple of the patch size 4");
}

TEST_CASE("two possible layouts of positions are not guessed between", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  // Nine rows are 3 x 3 patches alone, or 2 x 2 behind a class token and four registers.
  File file(plain());
  file.add("reg_token", {1, 4, 24});
  file.add("pos_embed", {1, 9, 24});
  file.metadata.erase("image_size");
  const fs::path path = file.write(folder / "model.safetensors");
  contains(load_error(path), "fits two layouts");
  CHECK(load_vit(path, {{"no_embed_class", "true"}}).model.config.image_size == 12);
  CHECK(load_vit(path, {{"no_embed_class", "false"}}).model.config.image_size == 8);
  file.metadata["image_size"] = "8";
  CHECK(load_vit(file.write(path)).model.config.position_covers_prefix);
  file.add("pos_embed", {1, 8, 24});
  file.metadata.erase("image_size");
  contains(load_error(file.write(path)), "no square of patches");
}

TEST_CASE("files that hold no plain ViT are refused", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const auto error = [&](auto&& change, const fs::path& source = plain()) {
    File file(source);
    change(file);
    return load_error(file.write(folder / "model.safetensors"));
  };
  const std::string other = error([](File& file) {
    file.tensors.clear();
    file.add("conv1.weight", {8, 3, 7, 7});
  });
  contains(other, "holds no Vision Transformer");
  contains(other, "patch_embed.proj.weight (timm)");
  contains(other, "embeddings.patch_embeddings.projection.weight (Hugging Face");

  const File intact(plain());
  for (const auto& entry : intact.tensors) {
    const std::string& name = entry.first;
    if (name == "patch_embed.proj.weight" || name == "head.weight") continue;
    INFO(name);
    const std::string missing = error([&](File& file) { file.tensors.erase(name); });
    // A missing class token or bias may show itself by what is then too much.
    if (name != "cls_token" && !name.ends_with("qkv.bias")) contains(missing, name + " is missing");
  }
  for (const auto& entry : intact.tensors) {
    const std::string& name = entry.first;
    INFO(name);
    contains(error([&](File& file) { file.add(name, {1, 3, 5}); }), name);
    contains(error([&](File& file) { file.add(name, {0, 24}); }), name);
    contains(error([&](File& file) { file.tensors[name].values[2] = std::nanf(""); }),
             "the tensor " + name + " holds NaN");
  }
  contains(error([](File& file) { file.tensors.erase("head.weight"); }), "num_classes is \"7\" (metadata)");
  contains(error([](File& file) {
             file.tensors.erase("head.weight");
             file.metadata.erase("num_classes");
             file.metadata.erase("class_names");
           }),
           "\"head.bias\" has no place");
  contains(error([](File& file) {
             file.add("blocks.0.attn.q_norm.weight", {12});
             file.add("blocks.1.attn.q_norm.weight", {12});
           }),
           "\"blocks.0.attn.q_norm.weight\" and 1 more have no place");
  contains(error([](File& file) { file.add("blocks.5.norm1.weight", {24}); }),
           "blocks.2.mlp.fc1.weight is missing");
  contains(error([](File& file) { file.add("blocks.999999.norm1.weight", {24}); }), "index 999999");
  contains(error([](File& file) { file.add("blocks.9999999999.norm1.weight", {24}); }), "has no place");
  contains(error([](File& file) { file.add("patch_embed.proj.weight", {24, 4, 4, 4}); }), "4 channels");
  contains(error([](File& file) { file.add("patch_embed.proj.weight", {24, 3, 4, 2}); }), "not square");
  contains(error([](File& file) {
             file.add("blocks.0.mlp.fc1.weight", {48, 24});
             file.add("blocks.0.mlp.fc2.weight", {24, 24});
           }),
           "SwiGLU");
  contains(error([](File& file) { file.add("blocks.1.mlp.fc1_g.weight", {48, 24}); }), "SwiGLU");
  contains(error(
               [](File& file) {
                 file.add("dinov2.encoder.layer.0.mlp.weights_in.weight", {96, 24});
               },
               hugging_face("dinov2")),
           "SwiGLU");
  contains(error([](File& file) { file.add("vit.encoder.layer.0.extra.weight", {24}); }, hugging_face("vit")),
           "\"vit.encoder.layer.0.extra.weight\" has no place");
  contains(error(
               [](File& file) {
                 file.add("cls_classifier.weight", {7, 24});
               },
               hugging_face("vit")),
           "stand for the same parameter");
  contains(error([](File& file) { file.tensors.erase("vit.layernorm.weight"); }, hugging_face("vit")),
           "norm.weight is missing");
  contains(error([](File& file) {
             file.add("dist_token", {1, 1, 24});
             file.tensors.erase("cls_token");
           }),
           "cls_token");

  write_text(folder / "model.safetensors", "not a safetensors file");
  CHECK_NOTHROW(load_error(folder / "model.safetensors"));
  CHECK_NOTHROW(load_error(folder / "absent.safetensors"));

  vbp::io::SafetensorsWriter writer;
  const std::vector<std::int32_t> integers(24 * 3 * 4 * 4, 1);
  for (const auto& [name, tensor] : intact.tensors) {
    if (name == "patch_embed.proj.weight") {
      writer.add(name, tensor.shape, std::span<const std::int32_t>(integers));
    } else {
      writer.add(name, tensor.shape, std::span<const float>(tensor.values));
    }
  }
  writer.write(folder / "model.safetensors", intact.metadata);
  contains(load_error(folder / "model.safetensors"), "patch_embed.proj.weight");
}

TEST_CASE("what is written is read back the same", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const std::vector<fs::path> models = all_models();
  CHECK(models.size() >= 20);
  for (const fs::path& path : models) {
    INFO(path.string());
    VitCheckpoint checkpoint = load_vit(path);
    REQUIRE(checkpoint.unresolved.empty());
    checkpoint.metadata["a key of others"] = "kept \"as it is\"";
    vbp::save_checkpoint(folder / "out.safetensors", checkpoint);
    const VitCheckpoint again = load_vit(folder / "out.safetensors");
    check_same_parameters(checkpoint.model, again.model);
    CHECK(vbp::fingerprint(again.model) == vbp::fingerprint(checkpoint.model));
    CHECK(again.model.config.architecture == checkpoint.model.config.architecture);
    CHECK(again.preprocessing == checkpoint.preprocessing);
    CHECK(again.class_names == checkpoint.class_names);
    CHECK(again.metadata.at("a key of others") == "kept \"as it is\"");
    REQUIRE(again.values.size() == checkpoint.values.size());
    for (std::size_t i = 0; i < again.values.size(); ++i) {
      CHECK(again.values[i].key == checkpoint.values[i].key);
      CHECK(again.values[i].value == checkpoint.values[i].value);
      const bool part = again.values[i].origin == "shapes";
      CHECK((part || again.values[i].origin == "metadata"));
    }
    vbp::save_checkpoint(folder / "again.safetensors", again);
    CHECK(File(folder / "again.safetensors").metadata == File(folder / "out.safetensors").metadata);
  }
}

TEST_CASE("written files have timm's names, shapes and all values", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  for (const char* name : {"registers", "distilled", "one_channel", "average_pool"}) {
    INFO(name);
    const fs::path path = kGolden / "vit" / (std::string(name) + ".safetensors");
    vbp::save_checkpoint(folder / "out.safetensors", load_vit(path));
    const File expected(path);
    const File actual(folder / "out.safetensors");
    REQUIRE(actual.tensors.size() == expected.tensors.size());
    for (const auto& [tensor_name, tensor] : expected.tensors) {
      INFO(tensor_name);
      CHECK(actual.tensors.at(tensor_name).shape == tensor.shape);
      CHECK(actual.tensors.at(tensor_name).values == tensor.values);
    }
    for (const auto& [key, value] : expected.metadata) CHECK(actual.metadata.contains(key));
    CHECK(actual.metadata.at("hidden_widths") == "[48,48]");
    CHECK(actual.metadata.at("activation") == "gelu");
    CHECK(actual.metadata.at("crop_mode") == "center");
  }
}

TEST_CASE("a pruned model is written with its own widths", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  // Beside the configuration of the model it was made from.
  for (const char* name : {"config.json", "preprocessor_config.json"}) {
    fs::copy(hugging_face("vit").parent_path() / name, folder / name);
  }
  VitCheckpoint checkpoint = load_vit(hugging_face("vit"));
  auto& block = checkpoint.model.blocks[1];
  const vbp::Matrix<float> fc1 = block.fc1.weight.topRows(5);
  const vbp::Matrix<float> fc2 = block.fc2.weight.leftCols(5);
  block.set_weights(fc1, block.fc1.bias.head(5), fc2, block.fc2.bias);
  CHECK(vbp::config_of(checkpoint.model).hidden_widths == std::vector<Index>{48, 5});
  vbp::save_checkpoint(folder / "pruned.safetensors", checkpoint);
  const VitCheckpoint pruned = load_vit(folder / "pruned.safetensors");
  CHECK(value_of(pruned, "hidden_widths") == Pair("[48,5]", "metadata"));
  CHECK(pruned.model.config.hidden_widths == std::vector<Index>{48, 5});
  CHECK(pruned.preprocessing == checkpoint.preprocessing);
  check_same_parameters(pruned.model, checkpoint.model);
}

TEST_CASE("a checkpoint that contradicts itself is not written", "[vit][checkpoint]") {
  const TemporaryFolder folder;
  const fs::path path = folder / "out.safetensors";
  write_text(path, "precious");
  const auto refused = [&](auto&& change) {
    VitCheckpoint checkpoint = load_vit(plain());
    change(checkpoint);
    CHECK_THROWS_AS(vbp::save_checkpoint(path, checkpoint), vbp::Error);
    std::ifstream stream(path);
    std::string text;
    std::getline(stream, text);
    CHECK(text == "precious");
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  };
  refused([](VitCheckpoint& c) { c.class_names.pop_back(); });
  refused([](VitCheckpoint& c) { c.preprocessing.image_size = 32; });
  refused([](VitCheckpoint& c) { c.preprocessing.std[1] = 0.0; });
  refused([](VitCheckpoint& c) { c.model.config.heads = 5; });
  refused([](VitCheckpoint& c) { c.model.head.bias[0] = std::numeric_limits<float>::infinity(); });
  refused([](VitCheckpoint& c) { c.model.positions.conservativeResize(16, 24); });
  refused([](VitCheckpoint& c) { c.metadata["broken"] = "\xff"; });
  CHECK_THROWS_AS(vbp::save_checkpoint(folder / "absent" / "out.safetensors", load_vit(plain())),
                  vbp::FileError);
}

TEST_CASE("the real ViT-S is read whole", "[vit][checkpoint]") {
  VBP_REQUIRE_SHARED(shared);
  const VitCheckpoint checkpoint = load_vit(shared / "models" / "vit_small_cifar10.safetensors");
  CHECK_NOTHROW(checkpoint.require_complete());
  CHECK_NOTHROW(checkpoint.model.validate());
  const vbp::VitConfig& config = checkpoint.model.config;
  CHECK(config.dim == 384);
  CHECK(config.heads == 6);
  CHECK(config.hidden_widths == std::vector<Index>(12, 1536));
  CHECK(config.image_size == 84);
  CHECK(config.layer_scale);
  CHECK(checkpoint.preprocessing.crop_pct == 1.0);
  CHECK(checkpoint.class_names.at(9) == "truck");
}
