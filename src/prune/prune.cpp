/// The compiled bodies of prune/ itself and of prune/budget/.

#include "vbp/prune/blocks-inl.hpp"
#include "vbp/prune/budget/allowance-inl.hpp"
#include "vbp/prune/budget/cost-inl.hpp"
#include "vbp/prune/budget/latency-inl.hpp"
#include "vbp/prune/budget/removals-inl.hpp"
#include "vbp/prune/budget/resource-inl.hpp"
#include "vbp/prune/method-inl.hpp"
#include "vbp/prune/mlp-inl.hpp"
#include "vbp/prune/plan-inl.hpp"
#include "vbp/prune/pruner-inl.hpp"
#include "vbp/prune/residual_network-inl.hpp"
#include "vbp/prune/selection-inl.hpp"

namespace vbp::inline VBP_ABI {

template struct Mlp<float>;
template struct Mlp<double>;

}  // namespace vbp::inline VBP_ABI
