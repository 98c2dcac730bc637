#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_block_scores(const std::string& name, const double* scores, std::size_t count) {
  if (count == 0) throw_value_error({name, ": the block has no hidden neurons"});
  for (std::size_t j = 0; j < count; ++j) {
    if (!std::isfinite(scores[j])) throw_value_error({name, ": the score of neuron ", j, " is not finite"});
  }
}

VBP_FUNCTION void require_names_of_scores(std::size_t names, std::size_t blocks) {
  if (names == blocks) return;
  throw_shape_error({names, " block names for the scores of ", blocks, " blocks"});
}

}  // namespace detail

VBP_FUNCTION void require_scores(const std::vector<std::string>& names, const Scores& scores) {
  detail::require_names_of_scores(names.size(), scores.size());
  for (std::size_t b = 0; b < scores.size(); ++b) {
    detail::require_block_scores(names[b], scores[b].data(), static_cast<std::size_t>(scores[b].size()));
  }
}

}  // namespace vbp::inline VBP_ABI
