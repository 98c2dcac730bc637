#pragma once
/// Closed-form compensation: the kept columns of W2 take over what the pruned neurons did, as far as the kept
/// activations predict them. On plain Eigen matrices and on whole blocks; docs/math.md derives it.

#include <cstddef>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/compensate/ridge.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/selection.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// Options of the closed-form refit of one block.
struct RefitOptions {
  /// Shrinkage towards the kept weights as they are, in units of the mean variance of the kept neurons.
  double lambda = 1e-3;
};

/// The kept columns of W2 and the bias that minimise the expected squared output error: W2_S + W2_P B and b2
/// + W2_P (mu_P - B mu_S), B = C_PS (C_SS + lambda t I)^-1 (CORP, arXiv 2602.05243; by the block inverse
/// OB2C, arXiv 2608.17657). B = 0 would be the mean shift. w2 [out, hidden], b2 [out], mean [hidden],
/// covariance [hidden, hidden], kept ascending. Throws ShapeError or ValueError.
VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options,
                             kernels::Workspace<double>& workspace);

/// The same on the threads of a Context, with a workspace of its own.
VBP_FUNCTION LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                             const VectorView<double>& mean, const Matrix<double>& covariance,
                             std::span<const Index> kept, const RefitOptions& options = {},
                             Context context = {});

/// E||e||^2 of the output, e = W2 (h - mu) - V (h_S - mu_S), for kept neurons S with the weight V [out, kept]
/// and the bias that removes the mean error. With V the kept columns of W2 it is the error after mean shift.
VBP_FUNCTION double output_error(const MatrixView<double>& w2, const Matrix<double>& covariance,
                                 std::span<const Index> kept, const MatrixView<double>& weight);

/// What a refit did to one block: E||y - y'||^2 of its output after mean shift alone and after the refit, and
/// the output's whole variance, in the units of the block's output.
struct RefitError {
  double variance = 0.0;
  double mean_shift = 0.0;
  double refit = 0.0;
};

namespace detail {

/// The refit of one block, with its errors.
struct BlockRefit {
  LinearFit fit;
  RefitError error;
};
VBP_FUNCTION BlockRefit refit_block(const MatrixView<double>& w2, const VectorView<double>& b2,
                                    const VectorView<double>& mean, const Matrix<double>& covariance,
                                    std::span<const Index> kept, const RefitOptions& options,
                                    kernels::Workspace<double>& workspace);

/// A refitted layer in the block's own type T. Throws ValueError where it is not finite.
template <class T>
std::pair<Matrix<T>, Vector<T>> rounded_fit(const LinearFit& fit);

}  // namespace detail

/// Cuts the blocks to the plan's neurons and refits their second layers on the covariances of their hidden
/// activations, each block by itself. Everything is computed and checked before the first block changes;
/// throws ShapeError or ValueError, naming the block, and Cancelled. Returns each block's errors.
template <CovarianceRange R, std::ranges::forward_range Blocks>
std::vector<RefitError> refit_and_shrink_blocks(const PruningPlan& plan, const R& covariances,
                                                Blocks&& blocks, const RefitOptions& options = {},
                                                Context context = {}) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, detail::shapes_of(pointers));
  detail::require_one_per_block(detail::length_of(covariances), "covariances", pointers.size());
  using T = typename detail::BlockType<std::remove_reference_t<Blocks>>::Scalar;
  kernels::Workspace<double> workspace(context);
  std::vector<RefitError> errors;
  std::vector<std::pair<Matrix<T>, Vector<T>>> fits;
  for (const auto& seen : covariances) {
    context.require_not_cancelled();
    const PruningPlan::Block& planned = plan.blocks[errors.size()];
    const auto& block = std::as_const(*pointers[errors.size()]);
    with_context(planned.name, [&] {
      const Matrix<double> w2 = MatrixView<T>(block.fc2_weight()).template cast<double>();
      const Vector<double> b2 = VectorView<T>(block.fc2_bias()).template cast<double>();
      const Vector<double> mean = seen.mean();
      const detail::BlockRefit refitted =
          detail::refit_block(w2, b2, mean, seen.covariance(), planned.kept, options, workspace);
      fits.push_back(detail::rounded_fit<T>(refitted.fit));
      errors.push_back(refitted.error);
    });
  }
  for (std::size_t b = 0; b < pointers.size(); ++b) {
    auto& block = *pointers[b];
    block.set_weights(select_rows(MatrixView<T>(std::as_const(block).fc1_weight()), plan.blocks[b].kept),
                      select(VectorView<T>(std::as_const(block).fc1_bias()), plan.blocks[b].kept),
                      std::move(fits[b].first), std::move(fits[b].second));
  }
  return errors;
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/refit-inl.hpp"
#endif
