#pragma once
/// A way to keep headers cheap to compile.

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI::detail {

template <class T>
struct AlwaysDouble {
  using type = double;
};

/// double, spelled so that it depends on T. Inside a template, expressions of matrices of doubles are
/// compiled as soon as the header is read; those of matrices of DoubleFor<T> only where the template is used.
template <class T>
using DoubleFor = typename AlwaysDouble<T>::type;

}  // namespace vbp::inline VBP_ABI::detail
