/// The compiled bodies of the sequential refit.

#include "vbp/prune/compensate/gauss_newton-inl.hpp"
#include "vbp/prune/compensate/regression-inl.hpp"
#include "vbp/prune/compensate/sequential-inl.hpp"

namespace vbp::inline VBP_ABI {

template class FirstLayerStep<float>;

}  // namespace vbp::inline VBP_ABI
