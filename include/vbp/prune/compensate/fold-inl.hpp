#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/prune/compensate/fold.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Throws the ShapeError of a weight, a bias and means whose sizes do not fit together.
VBP_FUNCTION [[noreturn]] void refuse_fold(Index out, Index hidden, Index means, Index bias) {
  throw_shape_error(
      {"a weight of [", out, ", ", hidden, "] cannot fold ", means, " means into a bias of ", bias});
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
      throw_value_error({"the mean of neuron ", j, " is not finite"});
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
    throw_shape_error(
        {planned.name, ": statistics of ", features, " features for ", planned.width, " hidden neurons"});
  }
  if (samples < 1) throw_value_error({planned.name, ": the statistics have seen no sample"});
}

template <class T>
void require_all_finite(const std::string& name, const VectorView<T>& bias) {
  for (Index i = 0; i < bias.size(); ++i) {
    if (!std::isfinite(bias.data()[i])) throw_value_error({name, ": the folded bias is not finite"});
  }
}

VBP_FUNCTION void require_finite_bias(const std::string& name, const VectorView<float>& bias) {
  require_all_finite<float>(name, bias);
}
VBP_FUNCTION void require_finite_bias(const std::string& name, const VectorView<double>& bias) {
  require_all_finite<double>(name, bias);
}

}  // namespace vbp::inline VBP_ABI::detail
