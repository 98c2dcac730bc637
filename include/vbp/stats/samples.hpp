#pragma once
/// What statistics of samples refuse.

#include <cmath>
#include <string>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Throws ShapeError unless samples have as many features as `of`, "statistics" or "a covariance", has.
inline void require_features(Index columns, Index features, const char* of) {
  if (columns == features) return;
  throw ShapeError("samples of " + std::to_string(columns) + " features for " + of + " of " +
                   std::to_string(features));
}

/// Throws ValueError for a column whose `moment` did not come out finite: names the sample that is not, or
/// else says that the moment overflows. `first` is the number of the first column among the features.
template <class S>
[[noreturn]] void refuse_feature(const MatrixView<S>& samples, Index column, const char* moment,
                                 Index first = 0) {
  const std::string feature = "feature " + std::to_string(first + column);
  for (Index i = 0; i < samples.rows(); ++i) {
    const S value = samples(i, column);
    if (std::isfinite(value)) continue;
    throw ValueError(feature + " of sample " + std::to_string(i) + " is " +
                     (std::isnan(value) ? "NaN" : "infinite"));
  }
  throw ValueError("the " + std::string(moment) + " of " + feature + " overflows");
}

}  // namespace vbp::inline VBP_ABI::detail
