#pragma once
/// Bodies of checkpoint.hpp.

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/checkpoint_reader-inl.hpp"
#include "vbp/models/config_file-inl.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/stage_reader-inl.hpp"
#include "vbp/models/tensor_names-inl.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

template <class Model>
class ConvNextReader;

/// See tensor_names-inl.hpp.
template <class Model>
struct ConvNextNames {
  using Config = ConvNextConfig;

  static constexpr std::string_view kTimmAnchor = "stem.0.weight";
  static constexpr std::string_view kHuggingFaceAnchor = "embeddings.patch_embeddings.weight";
  static constexpr std::array<std::string_view, 2> kPrefixes{"convnext.", ""};

  static constexpr std::array<NamePair, 4> kOuter{{
      {"embeddings.patch_embeddings", "stem.0"},
      {"embeddings.layernorm", "stem.1"},
      {"layernorm", "head.norm"},
      {"classifier", "head.fc"},
  }};
  static constexpr std::array<NamePair, 5> kBlock{{
      {"dwconv", "conv_dw"},
      {"layernorm", "norm"},
      {"pwconv1", "mlp.fc1"},
      {"pwconv2", "mlp.fc2"},
      {"layer_scale_parameter", "gamma"},
  }};
  static constexpr std::array<std::string_view, kJoinedParts> kQueryKeyValue{};  // no tensor is divided

  static bool is_ignored(std::string_view) { return false; }

  static std::string_view reason_to_refuse(std::string_view name) {
    return name.find(".grn.") != name.npos
               ? "a ConvNeXt of the second version (global response normalisation)"
               : "";
  }

  static constexpr HuggingFaceStages kHuggingFace{.stages = "encoder.stages.",
                                                  .blocks = "layers.",
                                                  .transition = "downsampling_layer.",
                                                  .transition_before_stage = true,
                                                  .outer = kOuter,
                                                  .block = kBlock};

  static std::optional<TimmName> from_hugging_face(std::string_view name) {
    return stage_name_from_hugging_face<ConvNextNames>(name);
  }
};

template <class T>
struct CheckpointFormat<ConvNext<T>> {
  using Names = ConvNextNames<ConvNext<T>>;
  using Reader = ConvNextReader<ConvNext<T>>;

  static constexpr const auto& kKeys = kConvNextKeys;
  static constexpr const char* kEmbedding = "stem.0.weight";
  static constexpr std::array<std::pair<const char*, bool ConvNextConfig::*>, 1> kFlags{
      {{"layer_scale", &ConvNextConfig::layer_scale}}};

  static void add_texts(const ConvNextConfig& config, SettingTexts& texts) {
    texts["head_norm_eps"] = text_of(config.head_epsilon);
  }

  static std::vector<Index> special_shape(const std::string& name, Index rows, Index cols) {
    if (name.ends_with(".downsample.1.weight")) return {rows, cols / 4, 2, 2};
    if (name.ends_with(".conv_dw.weight")) return {rows, 1, 7, 7};
    return {};
  }

  /// What timm's name of an architecture with a tag says of the weights that Facebook published and of timm's
  /// own trainings on ImageNet-12k: the image size is that of the training. Empty for every other name.
  static SettingTexts architecture_settings(const ConvNextConfig& config) {
    const std::string_view architecture = config.architecture;
    if (architecture.starts_with("convnext_xxlarge")) return {{"layer_norm_eps", "1e-05"}};
    const std::size_t point = architecture.find('.');
    if (point == std::string_view::npos || !architecture.starts_with("convnext_")) return {};
    const std::string_view tag = architecture.substr(point + 1);
    if (!tag.starts_with("fb_in") && !tag.starts_with("in12k")) return {};
    const bool large = tag.ends_with("_384");
    SettingTexts texts{{"image_size", large ? "384" : "224"},
                       {"mean", "[0.485,0.456,0.406]"},
                       {"std", "[0.229,0.224,0.225]"}};
    texts["crop_pct"] = large ? "1.0" : tag.starts_with("fb_in") ? "0.875" : "0.95";
    if (large) texts["crop_mode"] = "squash";
    return texts;
  }

  /// Takes over what a configuration file says and other families do not know.
  static void set_network(const Settings& settings, ConvNextConfig& config) {
    set_stages(settings, config);
    config.head_epsilon = config.epsilon;
    if (const auto setting = settings.find("head_norm_eps")) config.head_epsilon = setting->number();
  }
};

/// See StageReader.
template <class Model>
class ConvNextReader : public StageReader<ConvNextReader<Model>, Model> {
  using Base = StageReader<ConvNextReader<Model>, Model>;

 public:
  static constexpr const char* kBlockAnchor = ".conv_dw.weight";

  using Base::Base;

  void read_block(Index, const std::string& block) {
    const bool first = config_.hidden_widths.size() == 1;
    if (first) config_.layer_scale = this->names_.has(block + ".gamma");
  }

  void resolve_family() {
    const bool hugging_face = this->names_.hugging_face;
    // What Hugging Face's config.json calls layer_norm_eps is the head's alone; the others are fixed there.
    const auto of_head_alone = [&](const std::string& origin) {
      return hugging_face && origin == "config.json";
    };
    const auto of_others = [&](const std::string& origin) { return !of_head_alone(origin); };
    const auto others = this->settings_.find_where("layer_norm_eps", of_others);
    auto head = this->settings_.find("head_norm_eps");
    if (!head) head = hugging_face ? this->settings_.find_where("layer_norm_eps", of_head_alone) : others;
    config_.epsilon = this->resolve_epsilon("layer_norm_eps", others, 1e-6);
    config_.head_epsilon = this->resolve_epsilon("head_norm_eps", head, hugging_face ? 1e-12 : 1e-6);
  }

 private:
  using Base::config_;
};

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
