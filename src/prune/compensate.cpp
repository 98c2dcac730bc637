/// The compiled bodies of fold and refit, for float and double.

#include "vbp/prune/compensate/cholesky-inl.hpp"
#include "vbp/prune/compensate/fold-inl.hpp"
#include "vbp/prune/compensate/refit-inl.hpp"
#include "vbp/prune/compensate/ridge-inl.hpp"

namespace vbp::inline VBP_ABI {

template class Cholesky<double>;

namespace detail {

template decltype(folded_bias<float>) folded_bias<float>;
template decltype(folded_bias<double>) folded_bias<double>;
template decltype(require_all_finite<float>) require_all_finite<float>;
template decltype(require_all_finite<double>) require_all_finite<double>;
template decltype(rounded_fit<float>) rounded_fit<float>;
template decltype(rounded_fit<double>) rounded_fit<double>;

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
