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
#include "vbp/models/tensor_names.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

inline constexpr std::string_view kVitTimmAnchor = "patch_embed.proj.weight";
inline constexpr std::string_view kVitHuggingFaceAnchor = "embeddings.patch_embeddings.projection.weight";

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

inline constexpr std::array<std::string_view, kJoinedParts> kQueryKeyValue{
    "attention.attention.query", "attention.attention.key", "attention.attention.value"};

inline constexpr std::array<std::string_view, 5> kHuggingFacePrefixes{"vit.", "deit.", "dinov2.",
                                                                      "dinov2_with_registers.", ""};

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

}  // namespace checkpoint_detail

/// Whether the tensors of a file are those of a Vision Transformer in timm's or Hugging Face's naming.
inline bool is_vit(const std::vector<std::string>& file_names) {
  using namespace checkpoint_detail;
  const auto contains = [&](const std::string& name) {
    return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
  };
  return contains(std::string(kVitTimmAnchor)) ||
         std::any_of(kHuggingFacePrefixes.begin(), kHuggingFacePrefixes.end(), [&](std::string_view prefix) {
           return contains(std::string(prefix) + std::string(kVitHuggingFaceAnchor));
         });
}

/// Sorts the tensors of a file, in timm's or Hugging Face's naming, with or without the model's prefix.
/// Throws FileError, saying what was looked for, if the file holds no Vision Transformer of a known naming,
/// and if two tensors stand for the same parameter or the MLPs are gated (SwiGLU).
inline TensorNames name_tensors(const std::string& path, const std::vector<std::string>& file_names) {
  using namespace checkpoint_detail;
  if (!is_vit(file_names)) {
    throw FileError(path, "holds no Vision Transformer: neither " + std::string(kVitTimmAnchor) +
                              " (timm) nor " + std::string(kVitHuggingFaceAnchor) +
                              " (Hugging Face; alone or after vit., deit., dinov2. or "
                              "dinov2_with_registers.) is among its " +
                              std::to_string(file_names.size()) + " tensors");
  }
  const auto contains = [&](const std::string& name) {
    return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
  };
  TensorNames result;
  std::string_view prefix;
  if (!contains(std::string(kVitTimmAnchor))) {
    const auto found = std::find_if(
        kHuggingFacePrefixes.begin(), kHuggingFacePrefixes.end(), [&](std::string_view candidate) {
          return contains(std::string(candidate) + std::string(kVitHuggingFaceAnchor));
        });
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
    add_source(result, path, file_name, *found);
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

}  // namespace vbp::inline VBP_ABI
