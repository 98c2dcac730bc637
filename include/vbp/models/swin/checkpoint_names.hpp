#pragma once
/// Which tensor of a checkpoint is which parameter of a Swin Transformer: the names of timm and of Hugging
/// Face.

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/tensor_names.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

// The patch embeddings have the names of a Vision Transformer's.
inline constexpr std::string_view kSwinTimmAnchor = "layers.0.blocks.0.norm1.weight";
inline constexpr std::string_view kSwinHuggingFaceAnchor =
    "encoder.layers.0.blocks.0.layernorm_before.weight";
inline constexpr std::string_view kSwinPrefix = "swin.";

inline constexpr std::array<NamePair, 4> kSwinEnds{{
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
    {"embeddings.norm", "patch_embed.norm"},
    {"layernorm", "norm"},
    {"classifier", "head.fc"},
}};

inline constexpr std::array<NamePair, 5> kSwinBlock{{
    {"layernorm_before", "norm1"},
    {"attention.output.dense", "attn.proj"},
    {"layernorm_after", "norm2"},
    {"intermediate.dense", "mlp.fc1"},
    {"output.dense", "mlp.fc2"},
}};

inline constexpr std::array<std::string_view, kJoinedParts> kSwinQueryKeyValue{
    "attention.self.query", "attention.self.key", "attention.self.value"};

/// timm's name for a tensor of Hugging Face's, `name` being without the model's prefix. Theirs are the
/// mergings behind a stage, timm's those before it.
inline std::optional<TimmName> swin_from_hugging_face(std::string_view name) {
  const auto [stem, ending] = split_weight_or_bias(name);
  constexpr std::string_view kLayers = "encoder.layers.";
  if (!stem.starts_with(kLayers)) return find_name(kSwinEnds, stem, ending);
  const auto layer = split_block_index(stem.substr(kLayers.size()));
  if (!layer) return std::nullopt;
  constexpr std::string_view kMerging = "downsample.";
  if (layer->second.starts_with(kMerging)) {
    return TimmName{"layers." + std::to_string(std::stoi(std::string(layer->first)) + 1) + "." +
                    std::string(layer->second) + std::string(ending)};
  }
  constexpr std::string_view kBlocks = "blocks.";
  if (!layer->second.starts_with(kBlocks)) return std::nullopt;
  const auto block = split_block_index(layer->second.substr(kBlocks.size()));
  if (!block) return std::nullopt;
  std::optional<TimmName> found = find_name(kSwinBlock, block->second, ending);
  for (std::size_t part = 0; part < kSwinQueryKeyValue.size(); ++part) {
    if (block->second == kSwinQueryKeyValue[part]) {
      found = TimmName{"attn.qkv" + std::string(ending), part, true};
    }
  }
  if (block->second == "attention.self.relative_position_bias_table") {
    found = TimmName{"attn.relative_position_bias_table"};
  }
  if (found) {
    found->name =
        "layers." + std::string(layer->first) + ".blocks." + std::string(block->first) + "." + found->name;
  }
  return found;
}

/// What older files hold beside the parameters although the shapes tell it.
inline bool is_swin_buffer(std::string_view name) {
  return name.ends_with(".relative_position_index") || name.ends_with(".attn_mask");
}

}  // namespace checkpoint_detail

/// Whether the tensors of a file are those of a Swin Transformer in timm's or Hugging Face's naming.
inline bool is_swin(const std::vector<std::string>& file_names) {
  const auto contains = [&](std::string_view name) {
    return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
  };
  using namespace checkpoint_detail;
  return contains(kSwinTimmAnchor) || contains(kSwinHuggingFaceAnchor) ||
         contains(std::string(kSwinPrefix) + std::string(kSwinHuggingFaceAnchor));
}

/// Sorts the tensors of a file, in timm's or Hugging Face's naming, the latter with or without "swin.".
/// Throws FileError, saying what was looked for, if the file holds no Swin Transformer of a known naming, if
/// it is one of the second version, and if two tensors stand for the same parameter.
inline TensorNames name_swin_tensors(const std::string& path, const std::vector<std::string>& file_names) {
  using namespace checkpoint_detail;
  if (!is_swin(file_names)) {
    throw FileError(path, "holds no Swin Transformer: neither " + std::string(kSwinTimmAnchor) +
                              " (timm) nor " + std::string(kSwinHuggingFaceAnchor) +
                              " (Hugging Face; alone or after " + std::string(kSwinPrefix) +
                              ") is among its " + std::to_string(file_names.size()) + " tensors");
  }
  TensorNames result;
  result.hugging_face = std::find(file_names.begin(), file_names.end(), kSwinTimmAnchor) == file_names.end();
  for (const std::string& file_name : file_names) {
    std::string_view name = file_name;
    if (result.hugging_face && name.starts_with(kSwinPrefix)) name.remove_prefix(kSwinPrefix.size());
    if (name.ends_with(".logit_scale")) {
      throw FileError(path, file_name +
                                " belongs to a Swin Transformer of the second version (cosine attention), "
                                "which is not supported");
    }
    if (is_ignorable(name) || is_swin_buffer(name)) {
      result.ignored.push_back(file_name);
      continue;
    }
    const std::optional<TimmName> found =
        result.hugging_face ? swin_from_hugging_face(name) : TimmName{file_name};
    if (found) {
      add_source(result, path, file_name, *found);
    } else {
      result.unknown.push_back(file_name);
    }
  }
  return result;
}

}  // namespace vbp::inline VBP_ABI
