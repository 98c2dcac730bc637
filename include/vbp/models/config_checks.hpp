#pragma once
/// What the families' configurations have in common: how stages are built and counted, and what is refused.

#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// How the models of a family of stages are built, and timm's names for their layers: a block of stage 1 is
/// "<stages>1.blocks.0", and the two layers before the stage are "<stages>1.downsample<transition_norm>" and
/// "<stages>1.downsample<reduction>".
struct StageLayout {
  const char* stages;
  const char* embedding;
  const char* embedding_norm;
  const char* transition_norm;
  const char* reduction;
  const char* norm;         ///< the last layer norm
  bool merges_before_norm;  ///< the transition's norm is of whole squares, and its reduction has no bias
  bool columns_first;       ///< how the reduction reads a square: its left column first, or its upper row
  bool norm_before_pooling;
};

namespace detail {

/// The index of a stage's first block, where stage i has depths[i] of them. For the number of stages itself
/// it is the number of blocks.
inline Index first_block(const std::vector<Index>& depths, Index stage) noexcept {
  Index first = 0;
  for (Index i = 0; i < stage; ++i) first += depths[static_cast<std::size_t>(i)];
  return first;
}

/// The stage that a block belongs to.
inline Index stage_of(const std::vector<Index>& depths, Index block) noexcept {
  Index stage = 0;
  while (block >= first_block(depths, stage + 1)) ++stage;
  return stage;
}

// Each of the following throws ValueError, naming the value.

inline void require_positive(Index value, const char* name) {
  if (value <= 0) throw ValueError(std::string(name) + " must be positive, not " + std::to_string(value));
}

inline void require_epsilon(double value, const char* name) {
  if (!(value > 0.0 && value < 1.0)) throw ValueError(std::string(name) + " must lie between 0 and 1");
}

/// Requires one positive value for each stage, of which dims.size() exist; `one` is what messages call it.
inline void require_one_a_stage(const std::vector<Index>& values, const char* name, const char* one,
                                const std::vector<Index>& dims) {
  if (values.size() != dims.size()) {
    throw ValueError(std::string(name) + " of " + std::to_string(values.size()) + " stages for dims of " +
                     std::to_string(dims.size()));
  }
  for (const Index value : values) require_positive(value, one);
}

/// Requires sizes of images and patches, and stages that each have a width and a depth.
template <class Config>
void require_stages(const Config& config) {
  require_positive(config.image_size, "image_size");
  require_positive(config.patch_size, "patch_size");
  require_positive(config.channels, "channels");
  require_positive(config.stages(), "the number of stages");
  require_one_a_stage(config.dims, "dims", "a stage's width", config.dims);
  require_one_a_stage(config.depths, "depths", "a stage's depth", config.dims);
}

/// Requires a hidden width for each block of each stage.
inline void require_hidden_widths(const std::vector<Index>& widths, const std::vector<Index>& depths) {
  for (const Index width : widths) require_positive(width, "a hidden width");
  const Index blocks = first_block(depths, static_cast<Index>(depths.size()));
  if (static_cast<Index>(widths.size()) != blocks) {
    throw ValueError("hidden widths of " + std::to_string(widths.size()) + " blocks for depths of " +
                     std::to_string(blocks));
  }
}

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
