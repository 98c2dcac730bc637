#pragma once
/// Mean-shift compensation and the cutting of blocks (VBP, section 3.3), on plain Eigen matrices and on whole
/// blocks. Everything is checked before anything is written. Blocks are cut once: the functions are cold, as
/// those of plan.hpp are.

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/selection.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// See fold_means.
template <class T>
Vector<T> folded_bias(const MatrixView<T>& fc2_weight, const VectorView<T>& fc2_bias,
                      const VectorView<double>& mean, std::span<const Index> pruned);

}  // namespace detail

/// The bias that takes over the means of the pruned neurons: b2 + W2[:, P] mu[P], accumulated in double.
/// fc2_weight [out, hidden], fc2_bias [out], mean [hidden], pruned P ascending. Throws ShapeError on sizes
/// that do not fit, ValueError on bad indices and on a mean that is not finite.
template <class Weight, class Bias, class Mean>
Vector<typename Weight::Scalar> fold_means(const Eigen::MatrixBase<Weight>& fc2_weight,
                                           const Eigen::MatrixBase<Bias>& fc2_bias,
                                           const Eigen::MatrixBase<Mean>& mean,
                                           std::span<const Index> pruned) {
  using T = typename Weight::Scalar;
  return detail::folded_bias<T>(fc2_weight.derived(), fc2_bias.derived(),
                                mean.derived().template cast<double>(), pruned);
}

namespace detail {

/// Cuts a block to the kept neurons and gives it this second bias; the caller has checked all of it.
template <LinearGeluLinear B>
[[gnu::cold]] void keep(B& block, std::span<const Index> kept, Vector<typename B::Scalar> fc2_bias) {
  using T = typename B::Scalar;
  // Views of what a member returns by value live until the end of this one expression.
  block.set_weights(rows_of<T>(std::as_const(block).fc1_weight(), kept),
                    elements_of<T>(std::as_const(block).fc1_bias(), kept),
                    columns_of<T>(std::as_const(block).fc2_weight(), kept), std::move(fc2_bias));
}

/// The second bias of a block after mean shift.
template <LinearGeluLinear B>
[[gnu::cold]] Vector<typename B::Scalar> folded_bias_of(const B& block, const VectorView<double>& mean,
                                                        std::span<const Index> kept) {
  return folded_bias<typename B::Scalar>(block.fc2_weight(), block.fc2_bias(), mean,
                                         complement(kept, mean.size()));
}

/// Throws ShapeError or ValueError, naming the block, for statistics that are not of it.
VBP_FUNCTION [[gnu::cold]] void require_statistics_fit(const PruningPlan::Block& planned, Index features,
                                                       std::int64_t samples);

/// Throws ValueError, naming the block, unless all values are finite.
VBP_FUNCTION [[gnu::cold]] void require_finite_bias(const std::string& name, const VectorView<float>& bias);
VBP_FUNCTION [[gnu::cold]] void require_finite_bias(const std::string& name, const VectorView<double>& bias);

}  // namespace detail

/// Cuts a block to its kept neurons (ascending) and compensates nothing. Throws ShapeError where the block's
/// shapes do not fit together, ValueError on bad indices; the block is then unchanged.
template <class B>
[[gnu::cold]] void shrink(B& block, std::span<const Index> kept) {
  static_assert(require_linear_gelu_linear<B>());
  require_indices(kept, hidden_width(block));
  detail::keep(block, kept, detail::copy_of<typename B::Scalar>(std::as_const(block).fc2_bias()));
}

/// Cuts a block to its kept neurons (ascending) and folds the means [hidden] of the others into its second
/// bias. Throws as shrink and fold_means do; the block is then unchanged.
template <class B, class Mean>
[[gnu::cold]] void fold_and_shrink(B& block, std::span<const Index> kept,
                                   const Eigen::MatrixBase<Mean>& mean) {
  static_assert(require_linear_gelu_linear<B>());
  using T = typename B::Scalar;
  const std::vector<Index> pruned = complement(kept, hidden_width(block));
  detail::keep(block, kept,
               fold_means(MatrixView<T>(std::as_const(block).fc2_weight()),
                          VectorView<T>(std::as_const(block).fc2_bias()), mean, pruned));
}

/// Cuts the blocks to the plan's neurons and compensates nothing. blocks is a range of LinearGeluLinear
/// blocks or of pointers to them, in the plan's order. Everything is checked before the first block changes;
/// throws ShapeError or ValueError, naming the block.
template <std::ranges::forward_range Blocks>
[[gnu::cold]] void shrink_blocks(const PruningPlan& plan, Blocks&& blocks) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, detail::shapes_of(pointers));
  for (std::size_t b = 0; b < pointers.size(); ++b) shrink(*pointers[b], plan.blocks[b].kept);
}

/// Cuts the blocks to the plan's neurons and folds the means of the others into the second bias: the
/// mean-shift compensation. The statistics come in the order of the blocks, whatever criterion made the plan.
/// Everything is checked before the first block changes; throws ShapeError or ValueError, naming the block.
template <StatisticsRange R, std::ranges::forward_range Blocks>
[[gnu::cold]] void fold_and_shrink_blocks(const PruningPlan& plan, const R& statistics, Blocks&& blocks) {
  const auto pointers = detail::block_pointers(blocks);
  detail::require_plan_fits(plan, detail::shapes_of(pointers));
  detail::require_one_per_block(detail::length_of(statistics), "statistics", pointers.size());
  using T = typename detail::BlockType<std::remove_reference_t<Blocks>>::Scalar;
  std::vector<Vector<T>> biases(pointers.size());
  std::size_t next = 0;
  for (const auto& seen : statistics) {
    const std::size_t b = next++;
    const PruningPlan::Block& planned = plan.blocks[b];
    detail::require_statistics_fit(planned, seen.features(), seen.count());
    const Vector<double> mean = seen.mean().template cast<double>();
    biases[b] =
        with_context(planned.name, [&] { return detail::folded_bias_of(*pointers[b], mean, planned.kept); });
    detail::require_finite_bias(planned.name, biases[b]);
  }
  for (std::size_t b = 0; b < pointers.size(); ++b) {
    detail::keep(*pointers[b], plan.blocks[b].kept, std::move(biases[b]));
  }
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/fold-inl.hpp"
#endif
