#pragma once
/// The variance that each neuron brings to its block's output.

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// s2_j ||W2[:, j]||^2: the expected squared output error of removing neuron j alone after mean shift (FLAP's
/// WIFV, NCI). variance s2 [hidden], weight W2 [out, hidden], whose rows the caller may scale by how much
/// each output counts. Throws ShapeError where the widths differ.
VBP_FUNCTION Vector<double> output_variance_scores(const Vector<double>& variance,
                                                   const Matrix<double>& weight);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/output_variance-inl.hpp"
#endif
