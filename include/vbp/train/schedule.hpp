#pragma once
/// The learning rate over the steps of a run.

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "vbp/core/error.hpp"

namespace vbp::inline VBP_ABI {

/// Linear warm-up from 0 to `peak`, then half a cosine down to `minimum` (Loshchilov and Hutter 2017).
struct CosineSchedule {
  double peak = 5e-5;
  double minimum = 0.0;
  std::int64_t warmup_steps = 0;
  std::int64_t total_steps = 1;

  /// Throws ValueError, naming the member, for a value out of its range.
  void validate() const {
    if (!(peak > 0.0 && std::isfinite(peak))) throw ValueError("the learning rate must be positive");
    if (!(minimum >= 0.0 && minimum <= peak)) {
      throw ValueError("the lowest learning rate must lie between 0 and the highest");
    }
    if (warmup_steps < 0 || total_steps < 1 || warmup_steps > total_steps) {
      throw ValueError("a warm-up of " + std::to_string(warmup_steps) + " steps in a run of " +
                       std::to_string(total_steps));
    }
  }

  /// The rate of a step, counted from 0. The first step of a warm-up is not idle: it has peak / warmup_steps.
  double at(std::int64_t step) const noexcept {
    if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
    if (step >= total_steps) return minimum;
    const double part =
        static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
    return minimum + 0.5 * (peak - minimum) * (1.0 + std::cos(std::numbers::pi * part));
  }
};

}  // namespace vbp::inline VBP_ABI
