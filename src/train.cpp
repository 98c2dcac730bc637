/// The compiled losses, for float and double.

#include "vbp/train/loss-inl.hpp"

namespace vbp::inline VBP_ABI {

template decltype(set_targets<float>) set_targets<float>;
template decltype(set_targets<double>) set_targets<double>;
template decltype(loss_and_gradient<float>) loss_and_gradient<float>;
template decltype(loss_and_gradient<double>) loss_and_gradient<double>;

}  // namespace vbp::inline VBP_ABI
