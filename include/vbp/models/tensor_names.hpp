#pragma once
/// Which tensor of a checkpoint is which parameter: what the families' tables of names share.

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

namespace vbp::inline VBP_ABI {

/// Where each parameter of a network is in a file, under timm's name for it.
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

/// Notes that a tensor of the file at `path` is this parameter or this part of one; throws FileError if
/// another one is already.
inline void add_source(TensorNames& names, const std::string& path, const std::string& file_name,
                       const TimmName& found) {
  std::vector<std::string>& parts = names.sources[found.name];
  parts.resize(found.joined ? kJoinedParts : 1);
  if (!parts[found.part].empty()) {
    throw FileError(path, parts[found.part] + " and " + file_name + " stand for the same parameter");
  }
  parts[found.part] = file_name;
}

/// Tensors of pre-training and of feature poolers, which the class scores do not depend on.
inline bool is_ignorable(std::string_view name) {
  return name == "mask_token" || name == "embeddings.mask_token" || name.starts_with("pooler.");
}

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

}  // namespace checkpoint_detail
}  // namespace vbp::inline VBP_ABI
