#pragma once
/// The criterion of DVBP, the paper's successor: variances from which estimation noise is removed.

#include <cstdint>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// (1 - p) diag(C) + p diag(D) of the covariance C [hidden, hidden]. D is the part of C whose eigenvalues
/// exceed the Marchenko-Pastur edge of noise, s2 (1 + sqrt(hidden / N))^2 with s2 the median eigenvalue. N
/// counts images, since the tokens of one image are correlated; `share` p is the pruning rate. Throws
/// ValueError for less than one image.
VBP_FUNCTION Vector<double> denoised_scores(const Matrix<double>& covariance, std::int64_t images,
                                            double share);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/criteria/denoised-inl.hpp"
#endif
