#pragma once
/// Swin Transformers in safetensors files: read in timm's and Hugging Face's naming, written in timm's.

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/preprocessing.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/swin/checkpoint_names.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

using SwinCheckpoint = Checkpoint<SwinTransformer<float>>;

/// The keys that options and metadata may give, in the order in which they are reported.
inline constexpr std::array<std::string_view, 21> kSwinKeys{
    "architecture",   "image_size",       "patch_size",    "channels",    "dims",       "depths",
    "num_heads",      "window_size",      "hidden_widths", "num_classes", "activation", "global_pool",
    "layer_norm_eps", "embed_norm_eps",   "mean",          "std",         "crop_pct",   "crop_mode",
    "interpolation",  "pad_before_shift", "class_names"};

namespace checkpoint_detail {

/// The configuration of the network as metadata texts.
inline SettingTexts network_texts(const SwinConfig& config) {
  return {{"image_size", std::to_string(config.image_size)},
          {"patch_size", std::to_string(config.patch_size)},
          {"channels", std::to_string(config.channels)},
          {"dims", nlohmann::json(config.dims).dump()},
          {"depths", nlohmann::json(config.depths).dump()},
          {"num_heads", nlohmann::json(config.heads).dump()},
          {"window_size", nlohmann::json(config.windows).dump()},
          {"hidden_widths", nlohmann::json(config.hidden_widths).dump()},
          {"num_classes", std::to_string(config.classes)},
          {"activation", text_of(config.activation)},
          {"global_pool", "avg"},
          {"layer_norm_eps", nlohmann::json(config.epsilon).dump()},
          {"embed_norm_eps", nlohmann::json(config.embedding_epsilon).dump()},
          {"pad_before_shift", text_of(config.pad_before_shift)}};
}

inline Parts network_parts(const SwinConfig& config) {
  return {{"qkv_bias", config.qkv_bias}};
}

/// The configuration of network, images and classes as metadata texts, without what is unresolved.
inline SettingTexts setting_texts(const SwinConfig& config, const io::Preprocessing& preprocessing,
                                  const std::vector<std::string>& class_names) {
  SettingTexts texts = network_texts(config);
  if (!config.architecture.empty()) texts["architecture"] = config.architecture;
  add_image_texts(texts, config.channels, preprocessing, class_names);
  return texts;
}

/// The shape of a parameter's tensor under timm's names; `vector` is whether the parameter is one.
inline std::vector<Index> swin_tensor_shape(const SwinConfig& config, const std::string& name, Index rows,
                                            Index cols, bool vector) {
  if (name == "patch_embed.proj.weight") return {rows, config.channels, config.patch_size, config.patch_size};
  return vector ? std::vector<Index>{rows} : std::vector<Index>{rows, cols};
}

/// What timm's name of an architecture with a tag says of the weights that Microsoft published. Empty for
/// every other name.
inline SettingTexts swin_architecture_settings(std::string_view architecture) {
  const std::size_t point = architecture.find('.');
  if (point == std::string_view::npos || !architecture.starts_with("swin_")) return {};
  if (!architecture.substr(point + 1).starts_with("ms_in")) return {};
  const bool large = architecture.substr(0, point).ends_with("_384");
  return {{"image_size", large ? "384" : "224"},
          {"mean", "[0.485,0.456,0.406]"},
          {"std", "[0.229,0.224,0.225]"},
          {"crop_pct", large ? "1.0" : "0.9"}};
}

/// Reads one checkpoint. Each step needs what the ones before it have found.
class SwinLoader : CheckpointReader {
 public:
  SwinLoader(const std::filesystem::path& path, const SettingTexts& options)
      : CheckpointReader(path, options, kSwinKeys, "Swin Transformer") {
    names_ = name_swin_tensors(path_, file_.names());
    add_files_beside(path.parent_path(), "head.fc.weight");
  }

  SwinCheckpoint load() {
    read_shapes();
    resolve_network();
    config_.image_size = resolve_image_size(config_.patch_size);
    if (names_.hugging_face && config_.image_size % config_.patch_size != 0) {
      fail("an image size of " + std::to_string(config_.image_size) + " is no multiple of the patch size " +
           std::to_string(config_.patch_size) +
           ": Hugging Face's library pads such images, which is not supported");
    }
    resolve_preprocessing(config_.channels);
    resolve_class_names(config_.classes);
    try {
      config_.validate();
    } catch (const ValueError& error) {
      fail(error.what());
    }
    load_parameters();
    preprocessing_.image_size = config_.image_size;
    const SettingTexts texts = setting_texts(config_, preprocessing_, class_names_);
    return finish(std::move(model_), texts, network_parts(config_));
  }

 private:
  static std::string block_name(Index stage, Index block) {
    return "layers." + std::to_string(stage) + ".blocks." + std::to_string(block);
  }

  void read_shapes() {
    if (!names_.unknown.empty()) fail_unknown(names_.unknown);
    const Shape patch = shape_of("patch_embed.proj.weight", 4);
    if (patch[2] != patch[3]) fail("patches are not square: patch_embed.proj.weight is " + list_text(patch));
    config_.channels = patch[1];
    config_.patch_size = patch[2];
    if (config_.channels != 1 && config_.channels != 3) {
      fail("the patch embedding reads " + std::to_string(config_.channels) + " channels; images have 1 or 3");
    }
    // No more stages and blocks than there are tensors, so that the loops end.
    config_.qkv_bias = false;
    for (Index stage = 0; names_.has(block_name(stage, 0) + ".norm1.weight"); ++stage) {
      Index depth = 0;
      for (; names_.has(block_name(stage, depth) + ".norm1.weight"); ++depth) {
        const std::string block = block_name(stage, depth);
        const Shape fc1 = shape_of(block + ".mlp.fc1.weight", 2);
        if (depth == 0) {
          config_.dims.push_back(fc1[1]);
          read_table(block + ".attn.relative_position_bias_table");
        }
        config_.hidden_widths.push_back(fc1[0]);
        config_.qkv_bias = config_.qkv_bias || names_.has(block + ".attn.qkv.bias");
      }
      config_.depths.push_back(depth);
    }
    if (names_.has("head.fc.weight")) config_.classes = shape_of("head.fc.weight", 2)[0];
  }

  /// A table of biases tells window and heads of its stage.
  void read_table(const std::string& name) {
    const Shape table = shape_of(name, 2);
    const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table[0]))));
    if (places * places != table[0] || places % 2 == 0) {
      fail("the tensor " + sources(name).front() + " has " + std::to_string(table[0]) +
           " rows, which is not (2 w - 1)^2 for any window w");
    }
    config_.windows.push_back((places + 1) / 2);
    config_.heads.push_back(table[1]);
  }

  void resolve_network() {
    check("patch_size", config_.patch_size, "patch_embed.proj.weight has patches of ");
    check("channels", config_.channels, "patch_embed.proj.weight has channels ");
    check("num_classes", config_.classes,
          config_.classes > 0 ? "the rows of " + sources("head.fc.weight").front() + " number "
                              : "there is no head, so that the number of classes is ");
    check_list("dims", config_.dims);
    check_list("depths", config_.depths);
    check_list("num_heads", config_.heads);
    check_list("window_size", config_.windows);
    check_widths(config_.hidden_widths);
    if (const auto setting = find("architecture")) config_.architecture = setting->value;
    settings_.add_source("architecture name", path_, swin_architecture_settings(config_.architecture));
    resolve_activation(config_.activation);
    origins_["global_pool"] = library();
    if (const auto setting = find("global_pool"); setting && setting->value != "avg") {
      setting->refuse(quote(setting->value) + " is not supported, only avg is");
    }
    config_.pad_before_shift = names_.hugging_face;
    origins_["pad_before_shift"] = library();
    if (const auto setting = find("pad_before_shift")) config_.pad_before_shift = setting->boolean();
    // Hugging Face's layer_norm_eps is not that of patch embedding and merging.
    const auto blocks = settings_.find("layer_norm_eps");
    auto embedding = settings_.find("embed_norm_eps");
    if (!embedding && !names_.hugging_face) embedding = blocks;
    const auto resolve = [this](const char* key, const std::optional<Setting>& setting) {
      origins_[key] = setting ? setting->origin : library();
      return setting ? epsilon_of(*setting) : 1e-5;
    };
    config_.epsilon = resolve("layer_norm_eps", blocks);
    config_.embedding_epsilon = resolve("embed_norm_eps", embedding);
  }

  void load_parameters() {
    model_.config = config_;
    model_.blocks.resize(config_.hidden_widths.size());
    model_.mergings.resize(config_.dims.size() - 1);
    std::map<std::string, std::vector<std::string>> left = names_.sources;
    for_each_parameter(model_, [&](const std::string& name, auto& parameter, Index rows, Index cols) {
      const std::vector<std::string>& parts = sources(name);
      left.erase(name);
      const Shape expected = swin_tensor_shape(config_, name, rows / static_cast<Index>(parts.size()), cols,
                                               parameter.IsVectorAtCompileTime);
      // Memory is taken when all shapes are known to be right.
      for (const std::string& part : parts) {
        if (part.empty()) continue;
        const Shape& given = file_.tensor(part).shape;
        if (given != expected) {
          fail("the tensor " + part + " has the shape " + list_text(given) + ", not " + list_text(expected));
        }
      }
      parameter.resize(rows, cols);
      read_parts(name, kSwinQueryKeyValue,
                 std::span<float>(parameter.data(), static_cast<std::size_t>(parameter.size())));
    });
    require_none_left(left);
  }

  SwinConfig config_;
  SwinTransformer<float> model_;
};

}  // namespace checkpoint_detail

/// Reads a Swin Transformer of the first version with timm's or Hugging Face's tensor names. Each value of
/// the configuration comes from the first source that has it: `options` (keys of kSwinKeys), the header's
/// metadata, config.json and preprocessor_config.json beside the file, the shapes, and for well-known weights
/// the architecture's name. Throws FileError, naming the tensor or the two sources, if the file is no such
/// Swin Transformer, contradicts itself or leaves the image size open; ValueError for an unknown or malformed
/// option. Other missing values do not throw: see Checkpoint::require_complete.
inline SwinCheckpoint load_swin(const std::filesystem::path& path,
                                const std::map<std::string, std::string>& options = {}) {
  return checkpoint_detail::SwinLoader(path, options).load();
}

/// Writes a checkpoint under timm's tensor names, in float32. The metadata keep what they hold and are
/// completed by every value of the configuration as the model has it now, so that the file needs nothing
/// beside it: load_swin reads the same model and values back. The file is the caller's to commit.
/// Throws ValueError or ShapeError, before anything is written, if the checkpoint is incomplete or
/// contradicts itself, and FileError if it cannot be written.
inline void save_swin(io::AtomicFile& file, const SwinCheckpoint& checkpoint) {
  const SwinConfig& config = checkpoint.model.config;
  checkpoint_detail::save_checkpoint(
      file, checkpoint,
      checkpoint_detail::setting_texts(config, checkpoint.preprocessing, checkpoint.class_names), kSwinKeys,
      [&](const std::string& name, Index rows, Index cols, bool vector) {
        return checkpoint_detail::swin_tensor_shape(config, name, rows, cols, vector);
      });
}

/// The same in one atomic step.
inline void save_swin(const std::filesystem::path& path, const SwinCheckpoint& checkpoint) {
  io::AtomicFile file(path);
  save_swin(file, checkpoint);
  file.commit();
}

/// What identifies a model: a hash over its configuration and all parameters. The same for the same model
/// out of a timm and a Hugging Face file, but for how they pad; its name plays no part.
template <class T>
io::Hash128 fingerprint(const SwinTransformer<T>& model) {
  using namespace checkpoint_detail;
  return hash_of_model(model, network_texts(model.config), network_parts(model.config));
}

}  // namespace vbp::inline VBP_ABI
