/// The compiled bodies of prune/criteria/.

#include "vbp/prune/criteria/greedy-inl.hpp"
#include "vbp/prune/criteria/magnitude-inl.hpp"
#include "vbp/prune/criteria/output_variance-inl.hpp"
#include "vbp/prune/criteria/random-inl.hpp"
#include "vbp/prune/criteria/ranking-inl.hpp"
#include "vbp/prune/criteria/scores-inl.hpp"
#include "vbp/prune/criteria/sensitivity-inl.hpp"
#include "vbp/prune/criteria/snip-inl.hpp"
#include "vbp/prune/criteria/variance-inl.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

template decltype(snip_of<float, float>) snip_of<float, float>;
template decltype(snip_of<float, double>) snip_of<float, double>;
template decltype(snip_of<double, double>) snip_of<double, double>;

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
