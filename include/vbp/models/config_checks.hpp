#pragma once
/// What the families' configurations have in common: counting blocks over stages, and what is refused.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::detail {

/// The first block of a stage, where stage i has depths[i] of them; of the stage behind the last one past the
/// last block.
inline Index first_block(const std::vector<Index>& depths, Index stage) noexcept {
  Index first = 0;
  for (Index i = 0; i < stage; ++i) first += depths[static_cast<std::size_t>(i)];
  return first;
}

/// The stage that a block is of.
inline Index stage_of(const std::vector<Index>& depths, Index block) noexcept {
  Index stage = 0;
  while (block >= first_block(depths, stage + 1)) ++stage;
  return stage;
}

// Each throws ValueError, naming the value.

inline void require_positive(Index value, const char* name) {
  if (value <= 0) throw ValueError(std::string(name) + " must be positive, not " + std::to_string(value));
}

inline void require_epsilon(double value, const char* name) {
  if (!(value > 0.0 && value < 1.0)) throw ValueError(std::string(name) + " must lie between 0 and 1");
}

/// As many values as stages, which dims have; `one` is a name of each.
inline void require_one_a_stage(const std::vector<Index>& values, const char* name, const char* one,
                                const std::vector<Index>& dims) {
  if (values.size() != dims.size()) {
    throw ValueError(std::string(name) + " of " + std::to_string(values.size()) + " stages for dims of " +
                     std::to_string(dims.size()));
  }
  for (const Index value : values) require_positive(value, one);
}

/// Sizes of images and patches, and stages that each have a width and a depth.
template <class Config>
void require_stages(const Config& config) {
  require_positive(config.image_size, "image_size");
  require_positive(config.patch_size, "patch_size");
  require_positive(config.channels, "channels");
  require_positive(config.stages(), "the number of stages");
  require_one_a_stage(config.dims, "dims", "a stage's width", config.dims);
  require_one_a_stage(config.depths, "depths", "a stage's depth", config.dims);
}

/// A hidden width for each block of each stage.
inline void require_hidden_widths(const std::vector<Index>& widths, const std::vector<Index>& depths) {
  for (const Index width : widths) require_positive(width, "a hidden width");
  const Index blocks = first_block(depths, static_cast<Index>(depths.size()));
  if (static_cast<Index>(widths.size()) != blocks) {
    throw ValueError("hidden widths of " + std::to_string(widths.size()) + " blocks for depths of " +
                     std::to_string(blocks));
  }
}

}  // namespace vbp::inline VBP_ABI::detail
