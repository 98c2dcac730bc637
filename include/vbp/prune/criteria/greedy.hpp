#pragma once
/// Greedy selection: removes the neuron that costs least after the others have been refitted.

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/criteria/ranking.hpp"

namespace vbp::inline VBP_ABI {

/// Options of the backward elimination.
struct GreedyOptions {
  /// Added to the covariance's diagonal, in units of its mean; see RefitOptions.
  double lambda = 1e-3;
  /// The inverse is computed anew when a probe finds a larger relative error.
  double drift = 1e-8;
};

/// Backward elimination of all neurons of a block. Each step removes the neuron j of least ||w_j||^2 /
/// [C_SS^-1]_jj, w_j its refitted column: by so much the expected squared output error rises when the others
/// are refitted (Hassibi and Stork 1993, for columns). covariance C [hidden, hidden]; weight [out, hidden],
/// whose rows the caller may scale by how much each output counts. Takes time of the order hidden^3 and 4
/// hidden^2 doubles; the result does not depend on the threads. Throws ShapeError or ValueError.
VBP_FUNCTION Ranking backward_elimination(Matrix<double> covariance, const Matrix<double>& weight,
                                          const GreedyOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/greedy-inl.hpp"
#endif
