#pragma once
/// Which tensor of a file is which parameter.

#include <map>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

/// Where each parameter of a network is in a file, under timm's name for it.
struct TensorNames {
  bool hugging_face = false;
  /// timm's name -> names in the file. There are three if query, key and value are separate: their rows, one
  /// below the other, are timm's tensor. The name of one that the file lacks is empty.
  std::map<std::string, std::vector<std::string>> sources;
  std::vector<std::string>
      ignored;  ///< tensors that classification does not need, by their names in the file
  std::vector<std::string> unknown;

  bool has(const std::string& name) const { return sources.contains(name); }
};

}  // namespace vbp::inline VBP_ABI
