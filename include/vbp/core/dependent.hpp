#pragma once
/// A type that keeps headers cheap to compile.

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI::detail {

template <class T>
struct AlwaysDouble {
  using type = double;
};

/// Is double for every T, but depends on T. In the body of a template, the compiler compiles an expression of
/// Matrix<double> as soon as it reads the header. It compiles an expression of Matrix<DoubleFor<T>> only when
/// the template is used.
template <class T>
using DoubleFor = typename AlwaysDouble<T>::type;

}  // namespace vbp::inline VBP_ABI::detail
