#pragma once
/// Bodies of checkpoint.hpp.

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/checkpoint_reader-inl.hpp"
#include "vbp/models/config_file-inl.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/stage_reader-inl.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/models/tensor_names-inl.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

template <class Model>
class SwinReader;

/// See tensor_names-inl.hpp.
template <class Model>
struct SwinNames {
  using Config = SwinConfig;

  // The patch embeddings have the names of a Vision Transformer's.
  static constexpr std::string_view kTimmAnchor = "layers.0.blocks.0.norm1.weight";
  static constexpr std::string_view kHuggingFaceAnchor = "encoder.layers.0.blocks.0.layernorm_before.weight";
  static constexpr std::array<std::string_view, 2> kPrefixes{"swin.", ""};

  static constexpr std::array<NamePair, 4> kOuter{{
      {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
      {"embeddings.norm", "patch_embed.norm"},
      {"layernorm", "norm"},
      {"classifier", "head.fc"},
  }};
  static constexpr std::array<NamePair, 6> kBlock{{
      {"layernorm_before", "norm1"},
      {"attention.self.relative_position_bias_table", "attn.relative_position_bias_table"},
      {"attention.output.dense", "attn.proj"},
      {"layernorm_after", "norm2"},
      {"intermediate.dense", "mlp.fc1"},
      {"output.dense", "mlp.fc2"},
  }};
  static constexpr std::array<std::string_view, kJoinedParts> kQueryKeyValue{
      "attention.self.query", "attention.self.key", "attention.self.value"};

  /// Older files hold buffers beside the parameters although the shapes tell them.
  static bool is_ignored(std::string_view name) {
    return is_ignorable(name) || name.ends_with(".relative_position_index") || name.ends_with(".attn_mask");
  }

  static std::string_view reason_to_refuse(std::string_view name) {
    return name.ends_with(".logit_scale") ? "a Swin Transformer of the second version (cosine attention)"
                                          : "";
  }

  static constexpr HuggingFaceStages kHuggingFace{.stages = "encoder.layers.",
                                                  .blocks = "blocks.",
                                                  .transition = "downsample.",
                                                  .transition_before_stage = false,
                                                  .outer = kOuter,
                                                  .block = kBlock,
                                                  .query_key_value = kQueryKeyValue};

  static std::optional<TimmName> from_hugging_face(std::string_view name) {
    return stage_name_from_hugging_face<SwinNames>(name);
  }
};

template <class T>
struct CheckpointFormat<SwinTransformer<T>> {
  using Names = SwinNames<SwinTransformer<T>>;
  using Reader = SwinReader<SwinTransformer<T>>;

  static constexpr const auto& kKeys = kSwinKeys;
  static constexpr const char* kEmbedding = "patch_embed.proj.weight";
  static constexpr std::array<std::pair<const char*, bool SwinConfig::*>, 1> kFlags{
      {{"qkv_bias", &SwinConfig::qkv_bias}}};

  static void add_texts(const SwinConfig& config, SettingTexts& texts) {
    texts["num_heads"] = text_of(config.heads);
    texts["window_size"] = text_of(config.windows);
    texts["embed_norm_eps"] = text_of(config.embedding_epsilon);
    texts["pad_before_shift"] = text_of(config.pad_before_shift);
  }

  /// What timm's name of an architecture with a tag says of the weights that Microsoft published. Empty for
  /// every other name.
  static SettingTexts architecture_settings(const SwinConfig& config) {
    const std::string_view architecture = config.architecture;
    const std::size_t point = architecture.find('.');
    if (point == std::string_view::npos || !architecture.starts_with("swin_")) return {};
    if (!architecture.substr(point + 1).starts_with("ms_in")) return {};
    const bool large = architecture.substr(0, point).ends_with("_384");
    return {{"image_size", large ? "384" : "224"},
            {"mean", "[0.485,0.456,0.406]"},
            {"std", "[0.229,0.224,0.225]"},
            {"crop_pct", large ? "1.0" : "0.9"}};
  }

  /// Takes over what a configuration file says and other families do not know.
  static void set_network(const Settings& settings, SwinConfig& config) {
    set_stages(settings, config);
    if (const auto setting = settings.find("num_heads")) config.heads = setting->whole_numbers();
    if (const auto setting = settings.find("window_size")) config.windows = setting->whole_numbers();
    if (config.windows.size() == 1) config.windows.resize(config.dims.size(), config.windows[0]);
    if (const auto setting = settings.find("pad_before_shift")) config.pad_before_shift = setting->boolean();
    config.embedding_epsilon = config.epsilon;
    if (const auto setting = settings.find("embed_norm_eps")) config.embedding_epsilon = setting->number();
  }
};

/// See StageReader.
template <class Model>
class SwinReader : public StageReader<SwinReader<Model>, Model> {
  using Base = StageReader<SwinReader<Model>, Model>;

 public:
  static constexpr const char* kBlockAnchor = ".norm1.weight";

  using Base::Base;

  void read_shapes() {
    config_.qkv_bias = false;
    Base::read_shapes();
  }

  void read_block(Index index, const std::string& block) {
    if (index == 0) read_table(block + ".attn.relative_position_bias_table");
    config_.qkv_bias = config_.qkv_bias || this->names_.has(block + ".attn.qkv.bias");
  }

  void resolve_family() {
    const bool hugging_face = this->names_.hugging_face;
    this->check_list("num_heads", config_.heads);
    this->check_list("window_size", config_.windows);
    config_.pad_before_shift = hugging_face;
    this->origins_["pad_before_shift"] = this->library();
    if (const auto setting = this->find("pad_before_shift")) config_.pad_before_shift = setting->boolean();
    // Hugging Face's layer_norm_eps is not that of patch embedding and merging.
    const auto blocks = this->settings_.find("layer_norm_eps");
    auto embedding = this->settings_.find("embed_norm_eps");
    if (!embedding && !hugging_face) embedding = blocks;
    config_.epsilon = this->resolve_epsilon("layer_norm_eps", blocks, 1e-5);
    config_.embedding_epsilon = this->resolve_epsilon("embed_norm_eps", embedding, 1e-5);
  }

  const SwinConfig& checked_config() const {
    if (this->names_.hugging_face && config_.image_size % config_.patch_size != 0) {
      this->fail("an image size of " + std::to_string(config_.image_size) +
                 " is no multiple of the patch size " + std::to_string(config_.patch_size) +
                 ": Hugging Face's library pads such images, which is not supported");
    }
    return config_;
  }

 private:
  using Base::config_;

  /// The shape of a table of biases tells window and heads of its stage.
  void read_table(const std::string& name) {
    const auto table = this->shape_of(name, 2);
    const auto places = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(table[0]))));
    if (places * places != table[0] || places % 2 == 0) {
      this->fail("the tensor " + this->sources(name).front() + " has " + std::to_string(table[0]) +
                 " rows, which is not (2 w - 1)^2 for any window w");
    }
    config_.windows.push_back((places + 1) / 2);
    config_.heads.push_back(table[1]);
  }
};

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
