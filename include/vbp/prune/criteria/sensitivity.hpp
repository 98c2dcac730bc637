#pragma once
/// How much an error of each block changes the network's output, measured.

#include <cstddef>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// See output_sensitivities.
VBP_FUNCTION std::vector<double> sensitivities_of(AnyResidualNetwork& network,
                                                  const std::vector<Ranking>& rankings,
                                                  std::size_t covariances,
                                                  const NextBlockMoments& next_moments,
                                                  const MatrixView<float>& start, double share,
                                                  const Context& context);

}  // namespace detail

/// For each mlp step, the squared change of the network's outputs over the squared change of the stream that
/// causes it: the block alone is cut by `share` in the order of its ranking and refitted from its covariance,
/// and the rest of the dense network runs on what comes out. start [samples * rows_per_sample(0), width]
/// enters the first step. `network` is changed meanwhile and restored. Throws ShapeError unless rankings and
/// covariances have one entry per mlp step, and Cancelled.
template <ResidualNetwork N, CovarianceRange R>
std::vector<double> output_sensitivities(N& network, const std::vector<Ranking>& rankings,
                                         const R& covariances, const MatrixView<float>& start,
                                         double share = 0.6, Context context = {}) {
  detail::ResidualNetworkAdapter<N> any(network);
  return detail::sensitivities_of(any, rankings, detail::length_of(covariances),
                                  detail::moments_of(covariances), start, share, context);
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/sensitivity-inl.hpp"
#endif
