#pragma once
/// Ridge regression shrunk towards given weights: what every closed-form compensation solves.

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI {

/// Weight [out, in] and bias [out] of a linear layer, in double.
struct LinearFit {
  Matrix<double> weight;
  Vector<double> bias;
};

/// The V that minimises tr(V F V^T) - 2 tr(V X^T) + lambda t ||V - V0||^2, t the mean diagonal of F: ridge
/// regression of targets on features, shrunk towards V0. F [k, k] is the covariance of the features, of which
/// the upper triangle is read, X [out, k] that of targets and features, V0 [out, k] the centre. Solved by a
/// Cholesky decomposition of F + lambda t I; where no feature varies at all, V is V0. Throws ShapeError, and
/// ValueError for a negative lambda, values that are not finite, and a singular F with lambda 0.
VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda,
                                  kernels::Workspace<double>& workspace);

/// The same on the threads of a Context, with a workspace of its own.
VBP_FUNCTION Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                                  const MatrixView<double>& centre, double lambda, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/ridge-inl.hpp"
#endif
