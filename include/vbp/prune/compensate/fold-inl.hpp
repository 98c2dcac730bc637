#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "vbp/core/error.hpp"
#include "vbp/prune/compensate/fold.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Throws the ShapeError of a weight, a bias and means whose sizes do not fit together.
VBP_FUNCTION [[noreturn]] void refuse_fold(Index out, Index hidden, Index means, Index bias) {
  throw ShapeError("a weight of [" + std::to_string(out) + ", " + std::to_string(hidden) + "] cannot fold " +
                   std::to_string(means) + " means into a bias of " + std::to_string(bias));
}

template <class T>
Vector<T> folded_bias(const MatrixView<T>& fc2_weight, const VectorView<T>& fc2_bias,
                      const VectorView<double>& mean, std::span<const Index> pruned) {
  const Index out = fc2_weight.rows(), hidden = fc2_weight.cols();
  if (fc2_bias.size() != out || mean.size() != hidden) {
    refuse_fold(out, hidden, mean.size(), fc2_bias.size());
  }
  require_indices(pruned, hidden);
  for (const Index j : pruned) {
    if (!std::isfinite(mean.data()[j])) {
      throw ValueError("the mean of neuron " + std::to_string(j) + " is not finite");
    }
  }
  Vector<T> folded(out);
  for (Index r = 0; r < out; ++r) {
    const T* const row = fc2_weight.data() + r * fc2_weight.outerStride();
    double sum = static_cast<double>(fc2_bias.data()[r]);
    for (const Index j : pruned) sum += static_cast<double>(row[j]) * mean.data()[j];
    folded.data()[r] = static_cast<T>(sum);
  }
  return folded;
}

VBP_FUNCTION void require_statistics_fit(const PruningPlan::Block& planned, Index features,
                                         std::int64_t samples) {
  if (features != planned.width) {
    throw ShapeError(planned.name + ": statistics of " + std::to_string(features) + " features for " +
                     std::to_string(planned.width) + " hidden neurons");
  }
  if (samples < 1) throw ValueError(planned.name + ": the statistics have seen no sample");
}

template <class T>
void require_all_finite(const std::string& name, const VectorView<T>& bias) {
  for (Index i = 0; i < bias.size(); ++i) {
    if (!std::isfinite(bias.data()[i])) throw ValueError(name + ": the folded bias is not finite");
  }
}

VBP_FUNCTION void require_finite_bias(const std::string& name, const VectorView<float>& bias) {
  require_all_finite<float>(name, bias);
}
VBP_FUNCTION void require_finite_bias(const std::string& name, const VectorView<double>& bias) {
  require_all_finite<double>(name, bias);
}

}  // namespace vbp::inline VBP_ABI::detail
