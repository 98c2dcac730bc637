#pragma once
/// Names of tensors in files of timm and of Hugging Face: what the families' tables of names share. A table
/// is a class `Names` with
///   Config                           the family's configuration
///   kTimmAnchor, kHuggingFaceAnchor  a tensor that only such a model has
///   kPrefixes                        what may precede Hugging Face's names, "" last
///   is_ignored(name)                 whether classification does not need the tensor
///   reason_to_refuse(name)           "" or why no model with such a tensor is supported
///   from_hugging_face(name)          timm's name, `name` being without prefix

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/tensor_names.hpp"

namespace vbp::inline VBP_ABI::checkpoint_detail {

/// timm's name; for a parameter that a file holds in three tensors (query, key and value) which of them.
struct TimmName {
  std::string name;
  std::size_t part = 0;
  bool joined = false;
};

/// Hugging Face's name and timm's.
using NamePair = std::pair<std::string_view, std::string_view>;

/// Query, key and value, which make up one parameter.
inline constexpr std::size_t kJoinedParts = 3;

/// Hugging Face's names for the tensors of a network of stages. A block's are "<stages>1.<blocks>2.<name>".
struct HuggingFaceStages {
  std::string_view stages, blocks;
  std::string_view transition;      ///< "<stages>1.<transition>..." lies behind stage 1, or before it
  bool transition_before_stage;     ///< as timm counts
  std::span<const NamePair> outer;  ///< what lies outside the stages
  std::span<const NamePair> block;  ///< what lies within a block
  std::span<const std::string_view> query_key_value = {};
};

/// Tensors of pre-training and of feature poolers, which the class scores do not depend on.
template <class Text>
bool is_ignorable(const Text& name) {
  return name == "mask_token" || name == "embeddings.mask_token" || name.starts_with("pooler.");
}

/// "a.b.weight" -> ("a.b", ".weight"); the second part is empty for any other ending.
template <class Text>
std::pair<Text, Text> split_weight_or_bias(Text name) {
  for (const Text ending : {Text(".weight"), Text(".bias")}) {
    if (name.ends_with(ending)) return {name.substr(0, name.size() - ending.size()), ending};
  }
  return {name, {}};
}

/// "prefix12.rest" -> ("12", "rest"), or nothing if the name does not start so.
template <class Text>
std::optional<std::pair<Text, Text>> split_index(Text name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const std::size_t point = name.find('.');
  // Six digits are far beyond any depth and cannot overflow.
  if (point == Text::npos || point == 0 || point > 6) return std::nullopt;
  const Text digits = name.substr(0, point);
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  return std::pair(digits, name.substr(point + 1));
}

template <class Table, class Text>
std::optional<TimmName> find_name(const Table& table, Text stem, Text ending) {
  for (const auto& [theirs, timms] : table) {
    if (theirs == stem) return TimmName{std::string(timms) + std::string(ending)};
  }
  return std::nullopt;
}

/// timm's name within a block, where query, key and value are parts of "attn.qkv".
template <class Table, class Parts, class Text>
std::optional<TimmName> find_block_name(const Table& table, const Parts& query_key_value, Text stem,
                                        Text ending) {
  for (std::size_t part = 0; part < query_key_value.size(); ++part) {
    if (stem == query_key_value[part]) return TimmName{"attn.qkv" + std::string(ending), part, true};
  }
  return find_name(table, stem, ending);
}

/// timm's name for a tensor of Hugging Face's in a network of stages, whose Names have `kHuggingFace`.
template <class Names, class Text>
std::optional<TimmName> stage_name_from_hugging_face(Text name) {
  constexpr HuggingFaceStages names = Names::kHuggingFace;
  constexpr std::string_view timm_stages = Names::Config::kLayout.stages;
  const auto [stem, ending] = split_weight_or_bias(name);
  if (!stem.starts_with(names.stages)) return find_name(names.outer, stem, ending);
  const auto stage = split_index(stem, names.stages);
  if (!stage) return std::nullopt;
  Text inner = stage->second;
  if (inner.starts_with(names.transition)) {
    inner.remove_prefix(names.transition.size());
    const int index = std::stoi(std::string(stage->first)) + (names.transition_before_stage ? 0 : 1);
    return TimmName{std::string(timm_stages) + std::to_string(index) + ".downsample." + std::string(inner) +
                    std::string(ending)};
  }
  const auto block = split_index(inner, names.blocks);
  if (!block) return std::nullopt;
  auto found = find_block_name(names.block, names.query_key_value, block->second, ending);
  if (found) {
    found->name = std::string(timm_stages) + std::string(stage->first) + ".blocks." +
                  std::string(block->first) + "." + found->name;
  }
  return found;
}

/// The prefix with which Hugging Face's anchor is among the names, or nothing if it is not.
template <class Names>
std::optional<std::string> hugging_face_prefix(const std::vector<std::string>& file_names) {
  for (const std::string_view prefix : Names::kPrefixes) {
    const std::string anchor = std::string(prefix) + std::string(Names::kHuggingFaceAnchor);
    if (std::find(file_names.begin(), file_names.end(), anchor) != file_names.end()) {
      return std::string(prefix);
    }
  }
  return std::nullopt;
}

/// Whether the tensors of a file are those of this family in timm's naming.
template <class Names>
bool is_timm(const std::vector<std::string>& file_names) {
  return std::find(file_names.begin(), file_names.end(), Names::kTimmAnchor) != file_names.end();
}

/// Whether the tensors of a file are those of this family in timm's or Hugging Face's naming.
template <class Names>
bool is_family(const std::vector<std::string>& file_names) {
  return is_timm<Names>(file_names) || hugging_face_prefix<Names>(file_names).has_value();
}

template <class Names>
[[noreturn]] void fail_no_family(const std::string& path, std::size_t tensors) {
  std::string prefixes;
  for (std::size_t i = 0; i + 1 < Names::kPrefixes.size(); ++i) {
    if (i > 0) prefixes += i + 2 == Names::kPrefixes.size() ? " or " : ", ";
    prefixes += Names::kPrefixes[i];
  }
  throw FileError(path, "holds no " + std::string(Names::Config::kFamily) + ": neither " +
                            std::string(Names::kTimmAnchor) + " (timm) nor " +
                            std::string(Names::kHuggingFaceAnchor) + " (Hugging Face; alone or after " +
                            prefixes + ") is among its " + std::to_string(tensors) + " tensors");
}

/// Notes that a tensor of the file at `path` is this parameter or this part of one; throws FileError if
/// another one is already.
template <class Names>
void add_source(Names& names, const std::string& path, const std::string& file_name, const TimmName& found) {
  std::vector<std::string>& parts = names.sources[found.name];
  parts.resize(found.joined ? kJoinedParts : 1);
  if (!parts[found.part].empty()) {
    throw FileError(path, parts[found.part] + " and " + file_name + " stand for the same parameter");
  }
  parts[found.part] = file_name;
}

/// Sorts the tensors of a file, in timm's or Hugging Face's naming, with or without the model's prefix.
/// Throws FileError, saying what was looked for, if the file holds no such model, if a tensor has a reason to
/// refuse it, and if two tensors stand for the same parameter.
template <class Names>
TensorNames name_tensors(const std::string& path, const std::vector<std::string>& file_names) {
  TensorNames result;
  std::string prefix;
  if (!is_timm<Names>(file_names)) {
    const auto found = hugging_face_prefix<Names>(file_names);
    if (!found) fail_no_family<Names>(path, file_names.size());
    result.hugging_face = true;
    prefix = *found;
  }
  for (const std::string& file_name : file_names) {
    std::string_view name = file_name;
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    if (const std::string_view reason = Names::reason_to_refuse(name); !reason.empty()) {
      throw FileError(path, file_name + " belongs to " + std::string(reason) + ", which is not supported");
    }
    if (Names::is_ignored(name)) {
      result.ignored.push_back(file_name);
      continue;
    }
    const std::optional<TimmName> found =
        result.hugging_face ? Names::from_hugging_face(name) : TimmName{file_name};
    if (found) {
      add_source(result, path, file_name, *found);
    } else {
      result.unknown.push_back(file_name);
    }
  }
  return result;
}

}  // namespace vbp::inline VBP_ABI::checkpoint_detail
