#pragma once
/// Which tensor of a checkpoint is which parameter of a ConvNeXt: the names of timm and of Hugging Face.

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/tensor_names.hpp"

namespace vbp::inline VBP_ABI {

namespace checkpoint_detail {

inline constexpr std::string_view kConvNextTimmAnchor = "stem.0.weight";
inline constexpr std::string_view kConvNextHuggingFaceAnchor = "embeddings.patch_embeddings.weight";

inline constexpr std::array<NamePair, 4> kConvNextEnds{{
    {"embeddings.patch_embeddings", "stem.0"},
    {"embeddings.layernorm", "stem.1"},
    {"layernorm", "head.norm"},
    {"classifier", "head.fc"},
}};

inline constexpr std::array<NamePair, 5> kConvNextBlock{{
    {"dwconv", "conv_dw"},
    {"layernorm", "norm"},
    {"pwconv1", "mlp.fc1"},
    {"pwconv2", "mlp.fc2"},
    {"layer_scale_parameter", "gamma"},
}};

/// timm's name for a tensor of Hugging Face's, `name` being without the model's prefix.
inline std::optional<TimmName> convnext_from_hugging_face(std::string_view name) {
  const auto [stem, ending] = split_weight_or_bias(name);
  constexpr std::string_view kStage = "encoder.stages.";
  if (!stem.starts_with(kStage)) return find_name(kConvNextEnds, stem, ending);
  const auto stage = split_block_index(stem.substr(kStage.size()));
  if (!stage) return std::nullopt;
  const std::string timm = "stages." + std::string(stage->first);
  constexpr std::string_view kDownsampling = "downsampling_layer.";
  if (stage->second.starts_with(kDownsampling)) {
    return TimmName{timm + ".downsample." + std::string(stage->second.substr(kDownsampling.size())) +
                    std::string(ending)};
  }
  constexpr std::string_view kLayer = "layers.";
  if (!stage->second.starts_with(kLayer)) return std::nullopt;
  const auto block = split_block_index(stage->second.substr(kLayer.size()));
  if (!block) return std::nullopt;
  std::optional<TimmName> found = find_name(kConvNextBlock, block->second, ending);
  if (found) found->name = timm + ".blocks." + std::string(block->first) + "." + found->name;
  return found;
}

}  // namespace checkpoint_detail

/// Whether the tensors of a file are those of a ConvNeXt in timm's or Hugging Face's naming.
inline bool is_convnext(const std::vector<std::string>& file_names) {
  const auto contains = [&](std::string_view name) {
    return std::find(file_names.begin(), file_names.end(), name) != file_names.end();
  };
  using namespace checkpoint_detail;
  return contains(kConvNextTimmAnchor) || contains(kConvNextHuggingFaceAnchor) ||
         contains("convnext." + std::string(kConvNextHuggingFaceAnchor));
}

/// Sorts the tensors of a file, in timm's or Hugging Face's naming, the latter with or without "convnext.".
/// Throws FileError, saying what was looked for, if the file holds no ConvNeXt of a known naming, if it is
/// one of the second version, and if two tensors stand for the same parameter.
inline TensorNames name_convnext_tensors(const std::string& path,
                                         const std::vector<std::string>& file_names) {
  using namespace checkpoint_detail;
  if (!is_convnext(file_names)) {
    throw FileError(path, "holds no ConvNeXt: neither " + std::string(kConvNextTimmAnchor) + " (timm) nor " +
                              std::string(kConvNextHuggingFaceAnchor) +
                              " (Hugging Face; alone or after convnext.) is among its " +
                              std::to_string(file_names.size()) + " tensors");
  }
  TensorNames result;
  result.hugging_face =
      std::find(file_names.begin(), file_names.end(), kConvNextTimmAnchor) == file_names.end();
  for (const std::string& file_name : file_names) {
    if (file_name.find(".grn.") != std::string::npos) {
      throw FileError(path, file_name +
                                " belongs to a ConvNeXt of the second version (global response "
                                "normalisation), which is not supported");
    }
    std::optional<TimmName> found = TimmName{file_name};
    if (result.hugging_face) {
      std::string_view name = file_name;
      constexpr std::string_view kPrefix = "convnext.";
      if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
      found = convnext_from_hugging_face(name);
    }
    if (!found) {
      result.unknown.push_back(file_name);
      continue;
    }
    add_source(result, path, file_name, *found);
  }
  return result;
}

}  // namespace vbp::inline VBP_ABI
