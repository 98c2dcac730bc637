#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/blocks.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::vector<std::string> numbered_blocks(std::size_t count) {
  std::vector<std::string> names(count);
  for (std::size_t b = 0; b < count; ++b) names[b] = text_of({"blocks.", b});
  return names;
}

namespace detail {

VBP_FUNCTION void require_one_per_block(std::size_t entries, const char* what, std::size_t blocks) {
  if (entries == blocks) return;
  throw_shape_error({what, " of ", entries, " blocks for ", blocks});
}

VBP_FUNCTION Index hidden_width_of(const BlockShape& shape) {
  if (shape.fc1_bias != shape.fc1_rows || shape.fc2_columns != shape.fc1_rows ||
      shape.fc2_bias != shape.fc2_rows) {
    throw_shape_error({"fc1 [", shape.fc1_rows, ", ", shape.fc1_columns, "] + [", shape.fc1_bias,
                       "] and fc2 [", shape.fc2_rows, ", ", shape.fc2_columns, "] + [", shape.fc2_bias,
                       "] do not fit together"});
  }
  return shape.fc1_rows;
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
