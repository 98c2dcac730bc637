#pragma once
/// Bodies of checkpoint.hpp.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/checkpoint_reader-inl.hpp"
#include "vbp/models/config_file-inl.hpp"
#include "vbp/models/settings.hpp"
#include "vbp/models/tensor_names-inl.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/models/vit/positions.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

VBP_FUNCTION SettingTexts architecture_settings(std::string_view architecture, Index dim) {
  const std::size_t point = architecture.find('.');
  std::string_view name = architecture.substr(0, point);
  const std::string_view tag =
      point == std::string_view::npos ? std::string_view() : architecture.substr(point + 1);
  const auto skip = [&name](std::string_view start) {
    if (!name.starts_with(start)) return false;
    name.remove_prefix(start.size());
    return true;
  };
  const auto skip_number = [&name] {
    const std::size_t length = std::min(name.find_first_not_of("0123456789"), name.size());
    name.remove_prefix(length);
    return length > 0;
  };
  const bool vit = skip("vit_");
  const bool deit = !vit && skip("deit_");
  if (!vit && !deit && !skip("deit3_")) return {};
  using Width = std::pair<std::string_view, Index>;
  Index named_width = 0;
  for (const auto& [size, width] : {Width("tiny", 192), Width("little", 320), Width("small", 384),
                                    Width("medium", 512), Width("base", 768), Width("large", 1024)}) {
    if (named_width == 0 && skip(size)) named_width = width;
  }
  if (named_width == 0) return {};
  if (deit) skip("_distilled");
  if (!skip("_patch") || !skip_number()) return {};
  if (vit && skip("_reg") && !skip_number()) return {};
  const bool dinov2 = vit && name == "_dinov2";
  const bool standard_image = name == "_224";
  const bool large_image = name == "_384";
  if (!dinov2 && (!skip("_") || !skip_number() || !name.empty())) return {};

  const bool augreg = vit && !dinov2 && tag.starts_with("augreg");
  SettingTexts texts{{"layer_norm_eps", "1e-06"}};
  if (dim == named_width) texts["num_heads"] = std::to_string(dim / 64);
  if (augreg) {
    texts["mean"] = texts["std"] = "[0.5,0.5,0.5]";
  } else if (!vit || dinov2) {
    texts["mean"] = "[0.485,0.456,0.406]";
    texts["std"] = "[0.229,0.224,0.225]";
  }
  // DeiT III's depends on the training, so that its name does not tell.
  if (dinov2 || ((augreg || deit) && large_image)) {
    texts["crop_pct"] = "1.0";
  } else if ((augreg || deit) && standard_image) {
    texts["crop_pct"] = "0.9";
  }
  return texts;
}

/// timm's name of a pooling.
inline std::string_view name_of(Pooling pooling) noexcept {
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

VBP_FUNCTION Pooling pooling_of(const Setting& setting) {
  for (const Pooling pooling : {Pooling::class_token, Pooling::average, Pooling::class_token_and_average}) {
    if (setting.value == name_of(pooling)) return pooling;
  }
  setting.refuse(quote(setting.value) + " is not supported, only token, avg and token+avg are");
}

template <class Model>
class VitReader;

/// See tensor_names-inl.hpp.
template <class Model>
struct VitNames {
  using Config = VitConfig;

  static constexpr std::string_view kTimmAnchor = "patch_embed.proj.weight";
  static constexpr std::string_view kHuggingFaceAnchor = "embeddings.patch_embeddings.projection.weight";
  static constexpr std::array<std::string_view, 5> kPrefixes{"vit.", "deit.", "dinov2.",
                                                             "dinov2_with_registers.", ""};

  static constexpr std::array<NamePair, 9> kOuter{{
      {"embeddings.cls_token", "cls_token"},
      {"embeddings.distillation_token", "dist_token"},
      {"embeddings.register_tokens", "reg_token"},
      {"embeddings.position_embeddings", "pos_embed"},
      {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
      {"layernorm", "norm"},
      {"classifier", "head"},
      {"cls_classifier", "head"},
      {"distillation_classifier", "head_dist"},
  }};
  // Of two names for the same, the first is that of ViT and DeiT, the second of DINOv2.
  static constexpr std::array<NamePair, 11> kBlock{{
      {"layernorm_before", "norm1"},
      {"norm1", "norm1"},
      {"layernorm_after", "norm2"},
      {"norm2", "norm2"},
      {"attention.output.dense", "attn.proj"},
      {"intermediate.dense", "mlp.fc1"},
      {"mlp.fc1", "mlp.fc1"},
      {"output.dense", "mlp.fc2"},
      {"mlp.fc2", "mlp.fc2"},
      {"layer_scale1.lambda1", "ls1.gamma"},
      {"layer_scale2.lambda1", "ls2.gamma"},
  }};
  static constexpr std::array<std::string_view, kJoinedParts> kQueryKeyValue{
      "attention.attention.query", "attention.attention.key", "attention.attention.value"};

  static bool is_ignored(std::string_view name) { return is_ignorable(name); }

  static std::string_view reason_to_refuse(std::string_view name) {
    for (const std::string_view part : {".mlp.weights_in.", ".mlp.fc1_g.", ".mlp.w12."}) {
      if (name.find(part) != name.npos) return "a gated MLP (SwiGLU)";
    }
    return "";
  }

  static std::optional<TimmName> from_hugging_face(std::string_view name) {
    const auto [stem, ending] = split_weight_or_bias(name);
    constexpr std::string_view kBlocks = "encoder.layer.";
    if (!stem.starts_with(kBlocks)) return find_name(kOuter, stem, ending);
    const auto block = split_index(stem, kBlocks);
    if (!block) return std::nullopt;
    auto found = find_block_name(kBlock, kQueryKeyValue, block->second, ending);
    if (found) found->name = "blocks." + std::string(block->first) + "." + found->name;
    return found;
  }
};

template <class T>
struct CheckpointFormat<VisionTransformer<T>> {
  using Names = VitNames<VisionTransformer<T>>;
  using Reader = VitReader<VisionTransformer<T>>;

  static constexpr const auto& kKeys = kVitKeys;
  static constexpr const char* kEmbedding = "patch_embed.proj.weight";
  static constexpr std::array<std::pair<const char*, bool VitConfig::*>, 6> kFlags{
      {{"class_token", &VitConfig::class_token},
       {"distillation_token", &VitConfig::distillation_token},
       {"qkv_bias", &VitConfig::qkv_bias},
       {"layer_scale", &VitConfig::layer_scale},
       {"norm", &VitConfig::norm},
       {"fc_norm", &VitConfig::fc_norm}}};

  static void add_texts(const VitConfig& config, SettingTexts& texts) {
    texts["dim"] = std::to_string(config.dim);
    texts["depth"] = std::to_string(config.depth());
    texts["reg_tokens"] = std::to_string(config.register_tokens);
    texts["no_embed_class"] = text_of(!config.position_covers_prefix);
    texts["global_pool"] = name_of(config.pooling);
    if (config.heads > 0) texts["num_heads"] = std::to_string(config.heads);
  }

  static std::vector<Index> special_shape(const std::string& name, Index rows, Index cols) {
    if (name == "cls_token" || name == "dist_token") return {1, 1, rows};
    if (name == "reg_token" || name == "pos_embed") return {1, rows, cols};
    return {};
  }

  static SettingTexts architecture_settings(const VitConfig& config) {
    return checkpoint_detail::architecture_settings(config.architecture, config.dim);
  }

  /// Takes over what a configuration file says and other families do not know.
  static void set_network(const Settings& settings, VitConfig& config) {
    set_length(settings, "dim", config.dim);
    set_length(settings, "num_heads", config.heads);
    set_length(settings, "reg_tokens", config.register_tokens);
    Index depth = 0;
    set_length(settings, "depth", depth);
    if (depth > 1024) throw ValueError("a depth of " + std::to_string(depth) + " blocks is beyond reason");
    const auto widths = settings.find("hidden_widths");
    if (depth == 0 && widths) depth = static_cast<Index>(widths->whole_numbers().size());
    config.hidden_widths.assign(static_cast<std::size_t>(depth), 4 * config.dim);
    if (const auto setting = settings.find("no_embed_class")) {
      config.position_covers_prefix = !setting->boolean();
    }
    if (const auto setting = settings.find("global_pool")) config.pooling = pooling_of(*setting);
  }
};

/// See CheckpointReader.
template <class Model>
class VitReader : public CheckpointReader<VitReader<Model>, Model> {
  using Base = CheckpointReader<VitReader<Model>, Model>;

 public:
  using Base::Base;

  void read_shapes() {
    config_.dim = this->read_ends(Base::Format::kEmbedding)[0];
    const Index depth = depth_of_names();
    if (depth == 0) fail("the tensor blocks.0.mlp.fc1.weight is missing: there are no blocks");
    config_.qkv_bias = false;
    for (Index i = 0; i < depth; ++i) {
      const std::string block = Model::block_name(i);
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
    read_tokens();
  }

  void read_tokens() {
    config_.distillation_token = names_.has("dist_token");
    config_.class_token = names_.has("cls_token");
    if (config_.distillation_token || names_.hugging_face) {
      config_.class_token = !sources("cls_token").empty();
    }
    if (names_.has("reg_token")) config_.register_tokens = shape_of("reg_token", 2)[0];
    // Hugging Face's DeiT without a teacher has the token and no head on it. Such a token takes part in
    // attention alone, as a register token does.
    token_without_head_ = config_.distillation_token && !names_.has("head_dist.weight") &&
                          (names_.hugging_face || config_.classes > 0);
    if (token_without_head_) {
      config_.distillation_token = false;
      ++config_.register_tokens;
    }
  }

  void resolve_network() {
    this->check_ends(Base::Format::kEmbedding);
    resolve_positions();
    resolve_image_size();
    check("dim", config_.dim, "patch_embed.proj.weight has rows: ");
    check("depth", config_.depth(), "the number of blocks is ");
    this->check_widths();
    this->resolve_architecture();
    this->resolve_activation();
    resolve_pooling();
    if (const auto setting = find("num_heads")) {
      config_.heads = setting->whole_number();
      if (config_.heads == 0 || config_.dim % config_.heads != 0) {
        setting->refuse(quote(setting->value) + " heads do not divide a width of " +
                        std::to_string(config_.dim));
      }
    } else {
      config_.heads = 0;
      this->unresolved_.emplace_back("num_heads");
    }
    if (const auto setting = find("layer_norm_eps")) {
      config_.epsilon = this->epsilon_of(*setting);
    } else {
      config_.epsilon = 0.0;
      this->unresolved_.emplace_back("layer_norm_eps");
    }
  }

  /// With placeholders for what is unresolved, which Checkpoint::require_complete reports.
  VitConfig checked_config() const {
    VitConfig config = config_;
    if (config.heads == 0) config.heads = 1;
    if (config.epsilon == 0.0) config.epsilon = VitConfig{}.epsilon;
    return config;
  }

  template <class Parameter>
  void read_parameter(const std::string& name, Parameter& parameter, Index rows, Index cols) {
    if (name == "reg_token" && token_without_head_) {
      this->unread_.erase("dist_token");
      load_registers(rows, cols);
    } else if (name == "pos_embed" && fold_positions_) {
      load_folded_positions(rows, cols);
    } else {
      read(name, parameter, rows, cols);
    }
  }

  void complete_model() { model_ = with_image_size(std::move(model_), asked_size_); }

 private:
  using Base::check, Base::config_, Base::contradict, Base::fail, Base::find, Base::model_, Base::names_,
      Base::origins_, Base::read, Base::settings_, Base::shape_of, Base::sources;

  /// One more than the highest index of a block. Throws FileError if there cannot be so many blocks.
  Index depth_of_names() const {
    Index depth = 0;
    for (const auto& [name, parts] : names_.sources) {
      const auto block = split_index(std::string_view(name), "blocks.");
      if (block) depth = std::max(depth, Index{std::stoi(std::string(block->first))} + 1);
    }
    // Each block has more than one tensor, so that a greater index than their number is a mistake.
    const std::size_t tensors = this->file_.names().size();
    if (depth > static_cast<Index>(tensors)) {
      fail("a block of index " + std::to_string(depth - 1) + " among " + std::to_string(tensors) +
           " tensors");
    }
    return depth;
  }

  /// Finds out which rows of pos_embed belong to patches, and so the image size that the file was made for.
  void resolve_positions() {
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
  }

  /// Finds out the image size that is asked for. The stored one comes first, because the stored positions are
  /// made for it.
  void resolve_image_size() {
    std::optional<Setting> wanted = find("image_size");
    if (!wanted) origins_["image_size"] = "shapes";
    if (wanted && wanted->origin == "config.json") {
      // The preprocessing says to which size images are brought: DINOv2's is smaller than that of its
      // positions.
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
    // Attention over more would need gigabytes for one image; a slip of a digit must not allocate them.
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

  void resolve_pooling() {
    if (const auto setting = find("global_pool")) {
      config_.pooling = pooling_of(*setting);
      return;
    }
    origins_["global_pool"] = "shapes";
    if (config_.classes > 0 && shape_of("head.weight", 2)[1] == 2 * config_.dim) {
      config_.pooling = Pooling::class_token_and_average;
    } else if (config_.fc_norm || !config_.class_token) {
      config_.pooling = Pooling::average;
    } else {
      config_.pooling = Pooling::class_token;
      origins_["global_pool"] = this->library();
    }
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

  Index first_patch_row_ = 0;
  Index asked_size_ = 0;
  bool token_without_head_ = false;
  bool fold_positions_ = false;
};

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
