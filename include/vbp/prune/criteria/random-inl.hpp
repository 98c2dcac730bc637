#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "vbp/core/random.hpp"
#include "vbp/prune/criteria/random.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Scores random_scores(const std::vector<Index>& widths, std::uint64_t seed) {
  Random random(seed);
  Scores scores;
  for (const Index width : widths) {
    Vector<double> block(width);
    for (double& score : block) score = random.uniform();
    scores.push_back(std::move(block));
  }
  return scores;
}

}  // namespace vbp::inline VBP_ABI
