#pragma once
/// Vision Transformers in safetensors files: read in timm's and Hugging Face's naming, written in timm's.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
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
#include "vbp/io/safetensors.hpp"
#include "vbp/models/checkpoint.hpp"
#include "vbp/models/vit/checkpoint_config.hpp"
#include "vbp/models/vit/checkpoint_names.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/models/vit/positions.hpp"

namespace vbp::inline VBP_ABI {

using VitCheckpoint = Checkpoint<VisionTransformer<float>>;

namespace checkpoint_detail {

inline const char* text_of(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::class_token:
      return "token";
    case Pooling::average:
      return "avg";
    case Pooling::class_token_and_average:
      return "token+avg";
  }
  return "";
}

/// The configuration of the network as metadata texts, without what is unresolved.
inline SettingTexts network_texts(const VitConfig& config) {
  SettingTexts texts{{"image_size", std::to_string(config.image_size)},
                     {"patch_size", std::to_string(config.patch_size)},
                     {"channels", std::to_string(config.channels)},
                     {"dim", std::to_string(config.dim)},
                     {"depth", std::to_string(config.depth())},
                     {"hidden_widths", nlohmann::json(config.hidden_widths).dump()},
                     {"num_classes", std::to_string(config.classes)},
                     {"reg_tokens", std::to_string(config.register_tokens)},
                     {"no_embed_class", text_of(!config.position_covers_prefix)},
                     {"activation", text_of(config.activation)},
                     {"global_pool", text_of(config.pooling)}};
  if (config.heads > 0) texts["num_heads"] = std::to_string(config.heads);
  if (config.epsilon > 0.0) texts["layer_norm_eps"] = nlohmann::json(config.epsilon).dump();
  return texts;
}

/// What the tensors say by being there.
inline Parts network_parts(const VitConfig& config) {
  return {{"class_token", config.class_token},
          {"distillation_token", config.distillation_token},
          {"qkv_bias", config.qkv_bias},
          {"layer_scale", config.layer_scale},
          {"norm", config.norm},
          {"fc_norm", config.fc_norm}};
}

/// The configuration of network, images and classes as metadata texts, without what is unresolved.
inline SettingTexts setting_texts(const VitConfig& config, const io::Preprocessing& preprocessing,
                                  const std::vector<std::string>& class_names) {
  SettingTexts texts = network_texts(config);
  if (!config.architecture.empty()) texts["architecture"] = config.architecture;
  add_image_texts(texts, config.channels, preprocessing, class_names);
  return texts;
}

/// The shape of a parameter's tensor under timm's names; `vector` is whether the parameter is one.
inline std::vector<Index> vit_tensor_shape(const VitConfig& config, const std::string& name, Index rows,
                                           Index cols, bool vector) {
  if (name == "cls_token" || name == "dist_token") return {1, 1, rows};
  if (name == "reg_token" || name == "pos_embed") return {1, rows, cols};
  if (name == "patch_embed.proj.weight") {
    return {rows, config.channels, config.patch_size, config.patch_size};
  }
  return vector ? std::vector<Index>{rows} : std::vector<Index>{rows, cols};
}

/// Reads one checkpoint. Each step needs what the ones before it have found.
class VitLoader : CheckpointReader {
 public:
  VitLoader(const std::filesystem::path& path, const SettingTexts& options)
      : CheckpointReader(path, options, kVitKeys, "Vision Transformer") {
    names_ = name_tensors(path_, file_.names());
    add_files_beside(path.parent_path(), "head.weight");
  }

  VitCheckpoint load() {
    read_shapes();
    resolve_tokens();
    resolve_network();
    resolve_preprocessing(config_.channels);
    resolve_class_names(config_.classes);
    check_config();
    load_parameters();
    resize();
    return finish();
  }

 private:
  // --- What the tensors say.

  void read_shapes() {
    if (!names_.unknown.empty()) fail_unknown(names_.unknown);
    const Shape patch = shape_of("patch_embed.proj.weight", 4);
    if (patch[2] != patch[3]) fail("patches are not square: patch_embed.proj.weight is " + list_text(patch));
    config_.dim = patch[0];
    config_.channels = patch[1];
    config_.patch_size = patch[2];
    if (config_.channels != 1 && config_.channels != 3) {
      fail("the patch embedding reads " + std::to_string(config_.channels) + " channels; images have 1 or 3");
    }
    if (names_.depth == 0) fail("the tensor blocks.0.mlp.fc1.weight is missing: there are no blocks");
    config_.qkv_bias = false;
    for (Index i = 0; i < names_.depth; ++i) {
      const std::string block = VisionTransformer<float>::block_name(i);
      const Index hidden = shape_of(block + ".mlp.fc1.weight", 2)[0];
      if (shape_of(block + ".mlp.fc2.weight", 2)[1] * 2 == hidden) {
        fail(block +
             ".mlp.fc1 has two outputs for each input of fc2: a gated MLP (SwiGLU), which is not "
             "supported");
      }
      config_.hidden_widths.push_back(hidden);
      config_.qkv_bias = config_.qkv_bias || names_.has(block + ".attn.qkv.bias");
    }
    config_.layer_scale = names_.has("blocks.0.ls1.gamma");
    config_.fc_norm = names_.has("fc_norm.weight");
    config_.norm = names_.has("norm.weight") || !config_.fc_norm;
    if (names_.has("head.weight")) config_.classes = shape_of("head.weight", 2)[0];

    config_.distillation_token = names_.has("dist_token");
    config_.class_token = names_.has("cls_token");
    if (config_.distillation_token || names_.hugging_face)
      config_.class_token = !sources("cls_token").empty();
    if (names_.has("reg_token")) config_.register_tokens = shape_of("reg_token", 2)[0];
    // Hugging Face's DeiT without a teacher has the token and no head on it; it takes part in attention, and
    // that is what a register token does.
    token_without_head_ = config_.distillation_token && !names_.has("head_dist.weight") &&
                          (names_.hugging_face || config_.classes > 0);
    if (token_without_head_) {
      config_.distillation_token = false;
      ++config_.register_tokens;
    }
  }

  // --- Values: looked up, compared with the tensors, and noted with their origin.

  /// Which rows of pos_embed are patches, and so the image size that the file was made for.
  void resolve_tokens() {
    check("patch_size", config_.patch_size, "patch_embed.proj.weight has patches of ");
    check("channels", config_.channels, "patch_embed.proj.weight has channels ");
    check("reg_tokens", config_.register_tokens, "the tensors have register tokens: ");
    if (token_without_head_ && origins_["reg_tokens"] == "shapes") {
      origins_["reg_tokens"] = "shapes (a distillation token without a head of its own)";
    }
    const Index rows = shape_of("pos_embed", 2)[0];
    const auto is_option = [](const std::string& origin) { return origin == "option"; };
    const auto is_stored = [](const std::string& origin) {
      return origin == "metadata" || origin == "config.json";
    };
    const auto asked = settings_.find_where("image_size", is_option);
    const auto stored = settings_.find_where("image_size", is_stored);
    const auto embed = find("no_embed_class");
    if (!embed) origins_["no_embed_class"] = "shapes";

    const Index prefix = config_.prefix_tokens();
    std::vector<Index> offsets{prefix, 0};
    if (names_.hugging_face) {
      // Registers come behind the class token after the positions were added to it.
      offsets = {names_.has("reg_token") ? Index{1} : prefix};
    } else if (embed) {
      offsets = {embed->boolean() ? 0 : prefix};
    } else if (prefix == 0) {
      offsets = {0};
    }
    std::vector<std::pair<Index, Index>> fits;  // rows before the patches, patches on a side
    for (const Index offset : offsets) {
      const Index grid = square_root(rows - offset);
      const bool expected = asked || !stored || stored->whole_number() == grid * config_.patch_size;
      if (grid > 0 && expected) fits.emplace_back(offset, grid);
    }
    const std::string tensor = sources("pos_embed").front() + " has " + std::to_string(rows) + " rows";
    if (fits.empty() && stored && !asked) {
      contradict(*stored, tensor + " for " + std::to_string(prefix) + " prefix tokens and patches of " +
                              std::to_string(config_.patch_size));
    }
    if (fits.empty())
      fail(tensor + ", no square of patches beside " + std::to_string(prefix) + " prefix tokens");
    if (fits.size() > 1) {
      fail(tensor + ", which fits two layouts; say which with --set no_embed_class=true or false");
    }
    first_patch_row_ = fits[0].first;
    config_.image_size = fits[0].second * config_.patch_size;
    fold_positions_ = names_.hugging_face && names_.has("reg_token");
    config_.position_covers_prefix = !fold_positions_ && (first_patch_row_ > 0 || prefix == 0);
    if (embed && prefix == 0) config_.position_covers_prefix = !embed->boolean();
    if (embed && embed->boolean() == config_.position_covers_prefix) {
      contradict(*embed, "Hugging Face's models fix which tokens have a position");
    }

    // The stored size comes first, because with it come the stored positions.
    std::optional<Setting> wanted = find("image_size");
    if (!wanted) origins_["image_size"] = "shapes";
    if (wanted && wanted->origin == "config.json") {
      // What the images are resized to is for the preprocessing to say; DINOv2's are smaller than its grid.
      const auto fed = settings_.find_where(
          "image_size", [](const std::string& origin) { return origin == "preprocessor_config.json"; });
      if (fed && fed->whole_number() != config_.image_size) wanted = fed;
    }
    asked_size_ = config_.image_size;
    if (!wanted || wanted->whole_number() == config_.image_size) return;
    asked_size_ = wanted->whole_number();
    origins_["image_size"] =
        wanted->origin + " (position embeddings resampled from " + std::to_string(config_.image_size) + ")";
    if (asked_size_ < 1 || asked_size_ % config_.patch_size != 0) {
      wanted->refuse(quote(wanted->value) + " is no positive multiple of the patch size " +
                     std::to_string(config_.patch_size));
    }
    // Attention over more would need gigabytes for one image; a slip of a digit shall not allocate them.
    constexpr Index kMostPatchesOnASide = 256;
    if (asked_size_ / config_.patch_size > kMostPatchesOnASide) {
      wanted->refuse(quote(wanted->value) + " makes more than " + std::to_string(kMostPatchesOnASide) +
                     " patches on a side");
    }
  }

  static Index square_root(Index square) {
    if (square <= 0) return 0;
    const Index root = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(square))));
    return root * root == square ? root : 0;
  }

  void resolve_network() {
    check("dim", config_.dim, "patch_embed.proj.weight has rows: ");
    check("depth", config_.depth(), "the number of blocks is ");
    check("num_classes", config_.classes,
          config_.classes > 0 ? "the rows of " + sources("head.weight").front() + " number "
                              : "there is no head, so that the number of classes is ");
    check_widths(config_.hidden_widths);
    if (const auto setting = find("architecture")) config_.architecture = setting->value;
    settings_.add_source("architecture name", path_,
                         architecture_settings(config_.architecture, config_.dim));

    resolve_activation(config_.activation);
    resolve_pooling(library());
    if (const auto setting = find("num_heads")) {
      config_.heads = setting->whole_number();
      if (config_.heads == 0 || config_.dim % config_.heads != 0) {
        setting->refuse(quote(setting->value) + " heads do not divide a width of " +
                        std::to_string(config_.dim));
      }
    } else {
      config_.heads = 0;
      unresolved_.emplace_back("num_heads");
    }
    if (const auto setting = find("layer_norm_eps")) {
      config_.epsilon = epsilon_of(*setting);
    } else {
      config_.epsilon = 0.0;
      unresolved_.emplace_back("layer_norm_eps");
    }
  }

  void resolve_pooling(const std::string& library) {
    if (const auto setting = find("global_pool")) {
      for (const Pooling pooling :
           {Pooling::class_token, Pooling::average, Pooling::class_token_and_average}) {
        if (setting->value != checkpoint_detail::text_of(pooling)) continue;
        config_.pooling = pooling;
        return;
      }
      setting->refuse(quote(setting->value) + " is not supported, only token, avg and token+avg are");
    }
    origins_["global_pool"] = "shapes";
    if (config_.classes > 0 && shape_of("head.weight", 2)[1] == 2 * config_.dim) {
      config_.pooling = Pooling::class_token_and_average;
    } else if (config_.fc_norm || !config_.class_token) {
      config_.pooling = Pooling::average;
    } else {
      config_.pooling = Pooling::class_token;
      origins_["global_pool"] = library;
    }
  }

  void check_config() const {
    VitConfig config = config_;
    // What is unresolved is reported in another way.
    if (config.heads == 0) config.heads = 1;
    if (config.epsilon == 0.0) config.epsilon = VitConfig{}.epsilon;
    try {
      config.validate();
    } catch (const ValueError& error) {
      fail(error.what());
    }
  }

  // --- The parameters.

  void load_parameters() {
    model_.config = config_;
    model_.blocks.resize(config_.hidden_widths.size());
    std::map<std::string, std::vector<std::string>> left = names_.sources;
    for_each_parameter(model_, [&](const std::string& name, auto& parameter, Index rows, Index cols) {
      left.erase(name);
      if (name == "reg_token" && token_without_head_) {
        left.erase("dist_token");
        load_registers(rows, cols);
      } else if (name == "pos_embed" && fold_positions_) {
        load_folded_positions(rows, cols);
      } else {
        read(name, parameter, rows, cols);
      }
    });
    require_none_left(left);
  }

  void load_registers(Index rows, Index cols) {
    model_.register_tokens.resize(rows, cols);
    Vector<float> token;
    read("dist_token", token, cols, 1);
    model_.register_tokens.row(0) = token.transpose();
    if (rows == 1) return;
    Matrix<float> others;
    read("reg_token", others, rows - 1, cols);
    model_.register_tokens.bottomRows(rows - 1) = others;
  }

  /// The class token's position becomes part of the token, as the registers have none.
  void load_folded_positions(Index rows, Index cols) {
    Matrix<float> stored;
    read("pos_embed", stored, rows + 1, cols);
    model_.class_token += stored.row(0).transpose();
    model_.positions = stored.bottomRows(rows);
  }

  /// Reads the one or three tensors that make up a parameter.
  template <class Parameter>
  void read(const std::string& name, Parameter& parameter, Index rows, Index cols) {
    const std::vector<std::string>& parts = sources(name);
    const Index part_rows = rows / static_cast<Index>(parts.size());
    // The size is known to be right only when all shapes are, and memory is taken only then.
    for (const std::string& part : parts) {
      if (!part.empty()) check_shape(name, part, part_rows, cols);
    }
    parameter.resize(rows, cols);
    read_parts(name, kQueryKeyValue,
               std::span<float>(parameter.data(), static_cast<std::size_t>(parameter.size())));
  }

  void check_shape(const std::string& name, const std::string& source, Index rows, Index cols) const {
    const Shape& given = file_.tensor(source).shape;
    Shape shape = given;
    Shape expected{rows, cols};
    if (name == "patch_embed.proj.weight") {
      expected = {config_.dim, config_.channels, config_.patch_size, config_.patch_size};
    } else if (!name.ends_with(".weight") || shape.size() == 1) {
      if (cols == 1) expected = {rows};
    }
    const bool token = name.find('.') == std::string::npos;
    while (token && shape.size() > expected.size() && shape.front() == 1) shape.erase(shape.begin());
    if (shape != expected) {
      fail("the tensor " + source + " has the shape " + list_text(given) + ", not " + list_text(expected));
    }
  }

  void resize() {
    model_ = with_image_size(std::move(model_), asked_size_);
    preprocessing_.image_size = asked_size_;
  }

  VitCheckpoint finish() {
    const SettingTexts texts = setting_texts(model_.config, preprocessing_, class_names_);
    const auto parts = network_parts(model_.config);
    return CheckpointReader::finish(std::move(model_), texts, parts);
  }

  VitConfig config_;
  Index first_patch_row_ = 0;
  Index asked_size_ = 0;
  bool token_without_head_ = false;
  bool fold_positions_ = false;
  VisionTransformer<float> model_;
};

}  // namespace checkpoint_detail

/// Reads a Vision Transformer with timm's or Hugging Face's tensor names. Each value of the configuration
/// comes from the first source that has it: `options` (keys of kVitKeys), the header's metadata, config.json
/// and preprocessor_config.json beside the file, the shapes, and for well-known architectures their name. An
/// image size as an option resamples the position embeddings.
/// Throws FileError, naming the tensor or the two sources, if the file is no plain Vision Transformer or
/// contradicts itself; ValueError for an unknown or malformed option. Missing values do not throw: see
/// VitCheckpoint::require_complete.
inline VitCheckpoint load_vit(const std::filesystem::path& path,
                              const std::map<std::string, std::string>& options = {}) {
  return checkpoint_detail::VitLoader(path, options).load();
}

/// Writes a checkpoint under timm's tensor names, in float32. The metadata keep what they hold and are
/// completed by every value of the configuration as the model has it now, so that the file needs nothing
/// beside it: load_vit reads the same model and values back. The file is the caller's to commit.
/// Throws ValueError or ShapeError, before anything is written, if the checkpoint is incomplete or
/// contradicts itself, and FileError if it cannot be written.
inline void save_vit(io::AtomicFile& file, const VitCheckpoint& checkpoint) {
  const VitConfig& config = checkpoint.model.config;
  checkpoint_detail::save_checkpoint(
      file, checkpoint,
      checkpoint_detail::setting_texts(config, checkpoint.preprocessing, checkpoint.class_names), kVitKeys,
      [&](const std::string& name, Index rows, Index cols, bool vector) {
        return checkpoint_detail::vit_tensor_shape(config, name, rows, cols, vector);
      });
}

/// The same in one atomic step.
inline void save_vit(const std::filesystem::path& path, const VitCheckpoint& checkpoint) {
  io::AtomicFile file(path);
  save_vit(file, checkpoint);
  file.commit();
}

/// What identifies a model: a hash over its configuration and all parameters. The same for the same model
/// out of a timm and a Hugging Face file; its name plays no part.
template <class T>
io::Hash128 fingerprint(const VisionTransformer<T>& model) {
  using namespace checkpoint_detail;
  return hash_of_model(model, network_texts(model.config), network_parts(model.config));
}

}  // namespace vbp::inline VBP_ABI
