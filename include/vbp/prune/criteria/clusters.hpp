#pragma once
/// Clusters of similar neurons, after CUP.

#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/ranking.hpp"

namespace vbp::inline VBP_ABI {

/// Removes one neuron after the other: the one that its nearest remaining neighbour represents best, at the
/// cost s2_j (1 - rho^2) ||W2[:, j]||^2, rho their correlation. covariance [hidden, hidden], weight W2
/// [out, hidden]. The costs may fall; see running_maximum. Throws ShapeError where the widths differ.
VBP_FUNCTION Ranking cluster_ranking(const Matrix<double>& covariance, const Matrix<double>& weight);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/clusters-inl.hpp"
#endif
