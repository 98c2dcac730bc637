#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/prune/blocks.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::vector<std::string> numbered_blocks(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t b = 0; b < count; ++b) names.push_back("blocks." + std::to_string(b));
  return names;
}

namespace detail {

VBP_FUNCTION void require_one_per_block(std::size_t entries, const char* what, std::size_t blocks) {
  if (entries == blocks) return;
  throw ShapeError(std::string(what) + " of " + std::to_string(entries) + " blocks for " +
                   std::to_string(blocks));
}

VBP_FUNCTION Index hidden_width_of(const BlockShape& shape) {
  if (shape.fc1_bias != shape.fc1_rows || shape.fc2_columns != shape.fc1_rows ||
      shape.fc2_bias != shape.fc2_rows) {
    throw ShapeError("fc1 [" + std::to_string(shape.fc1_rows) + ", " + std::to_string(shape.fc1_columns) +
                     "] + [" + std::to_string(shape.fc1_bias) + "] and fc2 [" +
                     std::to_string(shape.fc2_rows) + ", " + std::to_string(shape.fc2_columns) + "] + [" +
                     std::to_string(shape.fc2_bias) + "] do not fit together");
  }
  return shape.fc1_rows;
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
