#pragma once
/// Samples as streaming statistics take them, and which samples they refuse.

#include <concepts>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A view of samples, the rows of any Eigen expression of float or double: a row-major matrix or a block of
/// one is viewed in place, any other expression is evaluated.
template <class Derived>
MatrixView<typename Derived::Scalar> samples_view(const Eigen::DenseBase<Derived>& samples) {
  using S = typename Derived::Scalar;
  static_assert(std::same_as<S, float> || std::same_as<S, double>, "vbp: samples must be float or double");
  return MatrixView<S>(samples.derived());
}

/// Throws ShapeError unless samples have as many features as `of`, "statistics" or "a covariance", has.
VBP_FUNCTION void require_features(Index columns, Index features, const char* of);

/// Throws ValueError for a column whose `moment` did not come out finite: names the sample that is not
/// finite, or else says that the moment overflows. `first` is the first column's number among the features.
VBP_FUNCTION [[noreturn]] void refuse_feature(const MatrixView<float>& samples, Index column,
                                              const char* moment, Index first = 0);
VBP_FUNCTION [[noreturn]] void refuse_feature(const MatrixView<double>& samples, Index column,
                                              const char* moment, Index first = 0);

}  // namespace vbp::inline VBP_ABI::detail

#if !defined(VBP_COMPILED)
#include "vbp/stats/samples-inl.hpp"
#endif
