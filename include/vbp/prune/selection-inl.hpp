#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/selection.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION void require_indices(std::span<const Index> indices, Index width) {
  Index last = -1;
  for (const Index index : indices) {
    if (index < 0 || index >= width) {
      throw_value_error({"index ", index, " is outside [0, ", width, ")"});
    }
    if (index <= last) {
      throw_value_error({"indices must ascend without repetition, but ", index, " follows ", last});
    }
    last = index;
  }
}

VBP_FUNCTION std::vector<Index> complement(std::span<const Index> kept, Index width) {
  require_indices(kept, width);
  std::vector<Index> rest;
  rest.reserve(static_cast<std::size_t>(width) - kept.size());
  auto next = kept.begin();
  for (Index i = 0; i < width; ++i) {
    if (next != kept.end() && *next == i) {
      ++next;
    } else {
      rest.push_back(i);
    }
  }
  return rest;
}

}  // namespace vbp::inline VBP_ABI
