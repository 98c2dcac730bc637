#pragma once
/// Which tensor of a checkpoint is which parameter: the names of timm and of Hugging Face.

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp {

/// Where each parameter of a Vision Transformer is in a file, under timm's name for it.
struct TensorNames {
  bool hugging_face = false;
  /// timm's name -> names in the file. Three where query, key and value are apart: their rows, one below the
  /// other, are timm's tensor; the name of one that the file lacks is empty.
  std::map<std::string, std::vector<std::string>> sources;
  std::vector<std::string>
      ignored;  ///< tensors that classification does not need, by their names in the file
  std::vector<std::string> unknown;
  Index depth = 0;  ///< one more than the highest block index

  bool has(const std::string& name) const { return sources.contains(name); }
};

namespace checkpoint_detail {

/// timm's name, and for query, key and value which of the three.
struct TimmName {
  std::string name;
  std::size_t part = 0;
  bool joined = false;
};

/// Hugging Face's name and timm's.
using NamePair = std::pair<std::string_view, std::string_view>;

inline constexpr std::array<NamePair, 5> kHuggingFaceTokens{{
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.distillation_token", "dist_token"},
    {"embeddings.register_tokens", "reg_token"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
}};

inline constexpr std::array<NamePair, 4> kHuggingFaceOutputs{{
    {"layernorm", "norm"},
    {"classifier", "head"},
    {"cls_classifier", "head"},
    {"distillation_classifier", "head_dist"},
}};

// Of two names for the same, the first is that of ViT and DeiT, the second of DINOv2.
inline constexpr std::array<NamePair, 11> kHuggingFaceBlock{{
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

inline constexpr std::array<std::string_view, 3> kQueryKeyValue{
    "attention.attention.query", "attention.attention.key", "attention.attention.value"};

inline constexpr std::array<std::string_view, 5> kHuggingFacePrefixes{"vit.", "deit.", "dinov2.",
                                                                      "dinov2_with_registers.", ""};

/// "a.b.weight" -> ("a.b", ".weight"); the second part is empty for any other ending.
inline std::pair<std::string_view, std::string_view> split_weight_or_bias(std::string_view name) {
  for (const std::string_view ending : {std::string_view(".weight"), std::string_view(".bias")}) {
    if (name.ends_with(ending)) return {name.substr(0, name.size() - ending.size()), ending};
  }
  return {name, {}};
}

/// "12.rest" -> ("12", "rest"), or nothing where no number and point stand first.
inline std::optional<std::pair<std::string_view, std::string_view>> split_block_index(std::string_view name) {
  const std::size_t point = name.find('.');
  // Six digits are far beyond any depth and cannot overflow.
  if (point == std::string_view::npos || point == 0 || point > 6) return std::nullopt;
  const std::string_view digits = name.substr(0, point);
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  return std::pair(digits, name.substr(point + 1));
}

template <std::size_t N>
std::optional<TimmName> find_name(const std::array<NamePair, N>& table, std::string_view stem,
                                  std::string_view ending) {
  for (const auto& [theirs, timms] : table) {
    if (theirs == stem) return TimmName{std::string(timms) + std::string(ending)};
  }
  return std::nullopt;
}

/// timm's name for a tensor of Hugging Face's, `name` being without the model's prefix.
inline std::optional<TimmName> from_hugging_face(std::string_view name) {
  const auto [stem, ending] = split_weight_or_bias(name);
  constexpr std::string_view kLayer = "encoder.layer.";
  if (!stem.starts_with(kLayer)) {
    if (auto found = find_name(kHuggingFaceTokens, stem, ending)) return found;
    return find_name(kHuggingFaceOutputs, stem, ending);
  }
  const auto split = split_block_index(stem.substr(kLayer.size()));
  if (!split) return std::nullopt;
  const auto& [index, inner] = *split;
  std::optional<TimmName> found = find_name(kHuggingFaceBlock, inner, ending);
  for (std::size_t part = 0; part < kQueryKeyValue.size(); ++part) {
    if (inner == kQueryKeyValue[part]) found = TimmName{"attn.qkv" + std::string(ending), part, true};
  }
  if (found) found->name = "blocks." + std::string(index) + "." + found->name;
  return found;
}

/// Tensors of pre-training and of feature poolers, which the class scores do not depend on.
inline bool is_ignorable(std::string_view name) {
  return name == "mask_token" || name == "embeddings.mask_token" || name.starts_with("pooler.");
}

}  // namespace checkpoint_detail

/// Sorts the tensors of a file, in timm's or Hugging Face's naming, with or without the model's prefix.
/// Throws FileError, saying what was looked for, if the file holds no Vision Transformer of a known naming,
/// and if two tensors stand for the same parameter or the MLPs are gated (SwiGLU).
inline TensorNames name_tensors(const std::string& path, const std::vector<std::string>& file_names) {
  const auto contains = [&](const std::string& name) {
    return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
  };
  const std::string timm_anchor = "patch_embed.proj.weight";
  const std::string hugging_face_anchor = "embeddings.patch_embeddings.projection.weight";
  TensorNames result;
  std::string_view prefix;
  if (!contains(timm_anchor)) {
    const auto found = std::find_if(
        checkpoint_detail::kHuggingFacePrefixes.begin(), checkpoint_detail::kHuggingFacePrefixes.end(),
        [&](std::string_view candidate) { return contains(std::string(candidate) + hugging_face_anchor); });
    if (found == checkpoint_detail::kHuggingFacePrefixes.end()) {
      throw FileError(path, "holds no Vision Transformer: neither " + timm_anchor + " (timm) nor " +
                                hugging_face_anchor +
                                " (Hugging Face; alone or after vit., deit., dinov2. or "
                                "dinov2_with_registers.) is among its " +
                                std::to_string(file_names.size()) + " tensors");
    }
    result.hugging_face = true;
    prefix = *found;
  }
  for (const std::string& file_name : file_names) {
    std::string_view name = file_name;
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    if (name.find(".mlp.weights_in.") != std::string_view::npos || name.find(".mlp.fc1_g.") != name.npos ||
        name.find(".mlp.w12.") != name.npos) {
      throw FileError(path, file_name + " belongs to a gated MLP (SwiGLU), which is not supported");
    }
    if (checkpoint_detail::is_ignorable(name)) {
      result.ignored.push_back(file_name);
      continue;
    }
    std::optional<checkpoint_detail::TimmName> found = checkpoint_detail::TimmName{file_name};
    if (result.hugging_face) found = checkpoint_detail::from_hugging_face(name);
    if (!found) {
      result.unknown.push_back(file_name);
      continue;
    }
    std::vector<std::string>& parts = result.sources[found->name];
    parts.resize(found->joined ? checkpoint_detail::kQueryKeyValue.size() : 1);
    if (!parts[found->part].empty()) {
      throw FileError(path, parts[found->part] + " and " + file_name + " stand for the same parameter");
    }
    parts[found->part] = file_name;
    constexpr std::string_view kBlocks = "blocks.";
    if (found->name.starts_with(kBlocks)) {
      const auto split =
          checkpoint_detail::split_block_index(std::string_view(found->name).substr(kBlocks.size()));
      if (split) result.depth = std::max(result.depth, Index{std::stoi(std::string(split->first))} + 1);
    }
  }
  // Each block has more than one tensor, so a greater index than their number is no depth but a mistake.
  if (result.depth > static_cast<Index>(file_names.size())) {
    throw FileError(path, "a block of index " + std::to_string(result.depth - 1) + " among " +
                              std::to_string(file_names.size()) + " tensors");
  }
  return result;
}

}  // namespace vbp
