#pragma once

#include <cmath>
#include <string>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/stats/samples.hpp"

namespace vbp::inline VBP_ABI::detail {

VBP_FUNCTION void require_features(Index columns, Index features, const char* of) {
  if (columns == features) return;
  throw_shape_error({"samples of ", columns, " features for ", of, " of ", features});
}

/// Throws the ValueError of refuse_feature; `sample` holds `value`, or is -1 where all are finite.
VBP_FUNCTION [[noreturn]] void refuse_sample(Index feature, Index sample, double value, const char* moment) {
  const std::string name = "feature " + std::to_string(feature);
  if (sample < 0) throw_value_error({"the ", moment, " of ", name, " overflows"});
  throw_value_error({name, " of sample ", sample, " is ", (std::isnan(value) ? "NaN" : "infinite")});
}

template <class S>
[[noreturn]] void refuse_feature_of(const MatrixView<S>& samples, Index column, const char* moment,
                                    Index first) {
  const S* value = samples.data() + column;
  for (Index i = 0; i < samples.rows(); ++i, value += samples.outerStride()) {
    if (!std::isfinite(*value)) refuse_sample(first + column, i, static_cast<double>(*value), moment);
  }
  refuse_sample(first + column, -1, 0.0, moment);
}

VBP_FUNCTION [[noreturn]] void refuse_feature(const MatrixView<float>& samples, Index column,
                                              const char* moment, Index first) {
  refuse_feature_of<float>(samples, column, moment, first);
}
VBP_FUNCTION [[noreturn]] void refuse_feature(const MatrixView<double>& samples, Index column,
                                              const char* moment, Index first) {
  refuse_feature_of<double>(samples, column, moment, first);
}

}  // namespace vbp::inline VBP_ABI::detail
