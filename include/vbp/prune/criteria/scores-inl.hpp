#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/scores.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION void require_scores(const std::vector<std::string>& names, const Scores& scores) {
  if (names.size() != scores.size()) {
    throw_shape_error({names.size(), " block names for the scores of ", scores.size(), " blocks"});
  }
  for (std::size_t b = 0; b < scores.size(); ++b) {
    if (scores[b].size() == 0) throw_value_error({names[b], ": the block has no hidden neurons"});
    for (Index j = 0; j < scores[b].size(); ++j) {
      if (!std::isfinite(scores[b](j))) {
        throw_value_error({names[b], ": the score of neuron ", j, " is not finite"});
      }
    }
  }
}

}  // namespace vbp::inline VBP_ABI
