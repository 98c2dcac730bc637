#pragma once
/// Closed-form compensation: the kept columns of W2 take over what the pruned neurons did, as far as the kept
/// activations predict them. On plain Eigen matrices and on whole blocks; docs/math.md derives it.

#include <cmath>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/criteria/score.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// Weight [out, in] and bias [out] of a linear layer, in double.
struct LinearFit {
  Matrix<double> weight;
  Vector<double> bias;
};

/// The V that minimises tr(V F V^T) - 2 tr(V X^T) + lambda t ||V - V0||^2, with t the mean diagonal of F:
/// ridge regression of targets on features, shrunk towards V0. F [k, k] is the covariance of the features
/// (its upper triangle is read), X [out, k] that of targets and features, V0 [out, k] the centre. Solved by a
/// Cholesky decomposition of F + lambda t I; features that do not vary at all keep the centre. Throws
/// ShapeError, and ValueError for a negative lambda, values that are not finite, and a singular F with lambda
/// 0.
inline Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                            const MatrixView<double>& centre, double lambda,
                            kernels::Workspace<double>& workspace) {
  const Index k = features.rows();
  if (features.cols() != k || cross.cols() != k || centre.cols() != k || cross.rows() != centre.rows()) {
    throw ShapeError("a ridge regression on " + std::to_string(k) + " features does not fit a cross " +
                     "covariance of [" + std::to_string(cross.rows()) + ", " + std::to_string(cross.cols()) +
                     "] and a centre of [" + std::to_string(centre.rows()) + ", " +
                     std::to_string(centre.cols()) + "]");
  }
  if (!(lambda >= 0.0 && std::isfinite(lambda))) {
    throw ValueError("lambda " + std::to_string(lambda) + " is not a number from 0 up");
  }
  const double scale = k > 0 ? features.trace() / static_cast<double>(k) : 0.0;
  const auto require_finite = [](bool finite) {
    if (!finite) throw ValueError("a covariance or weight of a ridge regression is not finite");
  };
  require_finite(std::isfinite(scale) && centre.allFinite());
  if (scale <= 0.0) {
    require_finite(features.allFinite() && cross.allFinite());
    return centre;
  }
  Matrix<double> shrunk(k, k);
  workspace.pool().parallel_for(k, [&](Index i) { shrunk.row(i) = features.row(i); });
  shrunk.diagonal().array() += lambda * scale;
  Cholesky factor(std::move(shrunk), workspace);
  if (!factor.definite()) {
    require_finite(features.allFinite());
    throw ValueError("the covariance of the kept features is singular; a larger lambda than " +
                     std::to_string(lambda) + " is needed");
  }
  Matrix<double> solution = factor.solve(cross + lambda * scale * centre);
  require_finite(solution.allFinite());
  return solution;
}

/// The same on the calling thread alone.
inline Matrix<double> ridge(const MatrixView<double>& features, const MatrixView<double>& cross,
                            const MatrixView<double>& centre, double lambda) {
  kernels::Workspace<double> caller(1);
  return ridge(features, cross, centre, lambda, caller);
}

/// Options of the closed-form refit of one block.
struct RefitOptions {
  /// Shrinkage towards the kept weights as they are, in units of the mean variance of the kept neurons.
  double lambda = 1e-3;
};

namespace detail {

/// rows x columns of a square matrix.
inline Matrix<double> gather(const Matrix<double>& matrix, std::span<const Index> rows,
                             std::span<const Index> columns) {
  Matrix<double> result(static_cast<Index>(rows.size()), static_cast<Index>(columns.size()));
  for (Index r = 0; r < result.rows(); ++r) {
    for (Index c = 0; c < result.cols(); ++c) {
      result(r, c) = matrix(rows[static_cast<std::size_t>(r)], columns[static_cast<std::size_t>(c)]);
    }
  }
  return result;
}

}  // namespace detail

/// The kept columns of W2 and the bias that minimise the expected squared output error: W2_S + W2_P B and b2
/// + W2_P (mu_P - B mu_S), B = C_PS (C_SS + lambda t I)^-1 (CORP, arXiv 2602.05243; by the block inverse
/// OB2C, arXiv 2608.17657). B = 0 would be the mean shift. w2 [out, hidden], b2 [out], mean [hidden],
/// covariance [hidden, hidden], kept ascending. Throws ShapeError or ValueError.
inline LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                       const VectorView<double>& mean, const Matrix<double>& covariance,
                       std::span<const Index> kept, const RefitOptions& options,
                       kernels::Workspace<double>& workspace) {
  if (b2.size() != w2.rows() || mean.size() != w2.cols() || covariance.rows() != w2.cols() ||
      covariance.cols() != w2.cols()) {
    throw ShapeError("a weight of [" + std::to_string(w2.rows()) + ", " + std::to_string(w2.cols()) +
                     "] cannot be refitted with " + std::to_string(mean.size()) +
                     " means and a covariance of [" + std::to_string(covariance.rows()) + ", " +
                     std::to_string(covariance.cols()) + "]");
  }
  if (!mean.allFinite()) throw ValueError("a mean is not finite");
  const std::vector<Index> pruned = complement(kept, w2.cols());
  const Matrix<double> kept_weight = select_columns(w2, kept);
  const Matrix<double> pruned_weight = select_columns(w2, pruned);
  // The covariance is symmetric, so that its kept rows are its kept columns.
  kernels::PackedWeight<double> kept_rows;
  kept_rows.assign(select_rows(covariance, kept), workspace.pool());
  Matrix<double> cross(w2.rows(), kept_weight.cols());
  kernels::gemm<double>(w2.data(), w2.outerStride(), w2.rows(), kept_rows, {}, cross.data(), cross.cols(),
                        workspace);
  LinearFit fit;
  fit.weight = ridge(detail::gather(covariance, kept, kept), cross, kept_weight, options.lambda, workspace);
  fit.bias = b2 + pruned_weight * select(mean, pruned) - (fit.weight - kept_weight) * select(mean, kept);
  return fit;
}

/// The same on the calling thread alone.
inline LinearFit refit(const MatrixView<double>& w2, const VectorView<double>& b2,
                       const VectorView<double>& mean, const Matrix<double>& covariance,
                       std::span<const Index> kept, const RefitOptions& options = {}) {
  kernels::Workspace<double> caller(1);
  return refit(w2, b2, mean, covariance, kept, options, caller);
}

/// E||e||^2 of the output, e = W2 (h - mu) - V (h_S - mu_S), for kept neurons S with the weight V [out, kept]
/// and the bias that removes the mean error. With V the kept columns of W2 it is the error after mean shift.
inline double output_error(const MatrixView<double>& w2, const Matrix<double>& covariance,
                           std::span<const Index> kept, const MatrixView<double>& weight) {
  Matrix<double> difference = w2;
  for (Index c = 0; c < weight.cols(); ++c)
    difference.col(kept[static_cast<std::size_t>(c)]) -= weight.col(c);
  return (difference * covariance).cwiseProduct(difference).sum();
}

/// What the pruner asks of a block's statistics for a closed-form refit: Covariance<T>, or anything alike.
template <class S>
concept HasCovariance = HasMoments<S> && requires(const S& s) {
  { s.covariance() } -> std::convertible_to<Matrix<double>>;
};
static_assert(HasCovariance<Covariance<float>> && HasCovariance<Covariance<double>>);

/// Any range of statistics with covariances, one per block in the order of the blocks.
template <class R>
concept CovarianceRange =
    std::ranges::forward_range<const R> && HasCovariance<std::ranges::range_value_t<const R>>;

/// What a refit did to one block: E||y - y'||^2 of its output after mean shift alone and after the refit, and
/// the output's whole variance, in the units of the block's output.
struct RefitError {
  double variance = 0.0;
  double mean_shift = 0.0;
  double refit = 0.0;
};

/// Cuts the blocks to the plan's neurons and refits their second layers on the covariances of their hidden
/// activations, each block for itself. Everything is computed and checked before the first block changes;
/// throws ShapeError or ValueError, naming the block. Returns each block's errors.
template <CovarianceRange R, std::ranges::forward_range Blocks>
std::vector<RefitError> refit_and_shrink_blocks(const PruningPlan& plan, const R& covariances,
                                                Blocks&& blocks, const RefitOptions& options = {}) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, pointers);
  const auto count = static_cast<std::size_t>(std::ranges::distance(covariances));
  if (count != pointers.size()) {
    throw ShapeError("covariances of " + std::to_string(count) + " blocks for " +
                     std::to_string(pointers.size()));
  }
  using T = typename detail::BlockType<std::remove_reference_t<Blocks>>::Scalar;
  std::vector<RefitError> errors;
  std::vector<LinearFit> fits;
  auto next = std::ranges::begin(covariances);
  for (std::size_t b = 0; b < pointers.size(); ++b, ++next) {
    const PruningPlan::Block& planned = plan.blocks[b];
    const auto& block = std::as_const(*pointers[b]);
    try {
      const Matrix<double> w2 = MatrixView<T>(block.fc2_weight()).template cast<double>();
      const Vector<double> b2 = VectorView<T>(block.fc2_bias()).template cast<double>();
      const auto& seen = *next;
      const Matrix<double> covariance = seen.covariance();
      const Vector<double> mean = seen.mean();
      fits.push_back(refit(w2, b2, mean, covariance, planned.kept, options));
      if (!fits.back().weight.template cast<T>().allFinite() ||
          !fits.back().bias.template cast<T>().allFinite()) {
        throw ValueError("the refitted layer is not finite");
      }
      errors.push_back(
          {.variance = (w2 * covariance).cwiseProduct(w2).sum(),
           .mean_shift = output_error(w2, covariance, planned.kept, select_columns(w2, planned.kept)),
           .refit = output_error(w2, covariance, planned.kept, fits.back().weight)});
    } catch (const ShapeError& error) {
      throw ShapeError(planned.name + ": " + error.what());
    } catch (const ValueError& error) {
      throw ValueError(planned.name + ": " + error.what());
    }
  }
  for (std::size_t b = 0; b < pointers.size(); ++b) {
    auto& block = *pointers[b];
    block.set_weights(select_rows(MatrixView<T>(std::as_const(block).fc1_weight()), plan.blocks[b].kept),
                      select(VectorView<T>(std::as_const(block).fc1_bias()), plan.blocks[b].kept),
                      fits[b].weight.template cast<T>(), fits[b].bias.template cast<T>());
  }
  return errors;
}

}  // namespace vbp::inline VBP_ABI
