#pragma once
/// Sequential refit: walks a network from its input and fits each layer so that the pruned network's residual
/// stream meets the dense one's, which also removes the error that earlier layers left. docs/math.md derives
/// it.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Which layers the walk may fit, and how.
struct SequentialOptions {
  /// Fit the layer that adds to the stream in branches that are not pruned: attention's output projection.
  bool branches = true;
  /// Fit layers that read the stream (fc1; q, k, v): the pruned stream's inputs are mapped onto the dense
  /// ones.
  bool inputs = true;
  /// Gauss-Newton steps on W1 of each pruned block, at most. Each must lower the error on held-out samples.
  int first_layer_steps = 3;
  /// Their matrix and length are estimated from one row in so many; see FirstLayerStep.
  Index thinning = 4;
  /// Shrinkages that held-out samples choose from, in units of the features' mean variance.
  std::vector<double> shrinkages = {1e-3, 1e-2, 1e-1, 1.0};
  /// Of the per-block solution that second layers are shrunk towards; see RefitOptions.
  double lambda = 1e-3;
  /// One sample in so many is held out to choose by; 0 holds none out and takes the first shrinkage.
  Index held_out = 5;
  /// Samples that go through a step together.
  Index batch = 32;
  /// Where the residual streams are stored: in memory if empty, else in unlinked files of this folder.
  std::filesystem::path folder = {};
};

/// What happened at one step. `before` and `after` are mean squared distances from what the layer would have
/// to add to reach the dense stream, as a share of that target's variance, on all samples: with the per-block
/// solution (or the dense layer), and with the refitted one.
struct SequentialStep {
  std::string name;
  StepKind kind = StepKind::transition;
  bool refitted = false;
  double before = 0.0;
  double after = 0.0;
  double shrinkage = 0.0;
  int first_layer_steps = 0;
};

/// Bytes of a residual stream [rows, width]. A walk stores two, the dense network's and the pruned one's, and
/// at most as much again for the inputs of a branch's last layer.
constexpr std::int64_t stream_bytes(Index rows, Index width) {
  return static_cast<std::int64_t>(rows) * width * static_cast<std::int64_t>(sizeof(float));
}

/// Bytes of memory, about, that ranking a block or fitting its step takes beside the streams: at most eight
/// matrices of the size of the joint moments of the step's features and the stream.
VBP_FUNCTION std::int64_t step_bytes(Index features, Index width);

namespace detail {

/// Throws ValueError for options that no walk is possible with.
VBP_FUNCTION void require_sequential_options(const SequentialOptions& options);

/// See SequentialRefit.
VBP_FUNCTION std::vector<SequentialStep> sequential_refit(
    AnyResidualNetwork& dense, AnyResidualNetwork& pruned, const SequentialOptions& options,
    const Context& context, const PruningPlan& plan, std::size_t covariances,
    const NextBlockMoments& next_moments, const MatrixView<float>& start);

}  // namespace detail

/// Refits a pruned network against its dense twin, both models of ResidualNetwork over float.
template <ResidualNetwork N>
class SequentialRefit {
 public:
  /// `pruned` comes with the dense weights and is cut and refitted. Both networks have to outlive this.
  /// Throws ValueError for impossible options.
  SequentialRefit(N& dense, N& pruned, SequentialOptions options = {}, Context context = {})
      : dense_(dense), pruned_(pruned), options_(std::move(options)), context_(std::move(context)) {
    detail::require_sequential_options(options_);
  }

  /// Cuts and refits the pruned network. plan and covariances (of the dense hidden activations) have one
  /// entry per mlp step, in order; start [samples * rows_per_sample(0), width] enters the first step. Reports
  /// the task "refitting" in steps. Throws ShapeError or ValueError, naming the step, and Cancelled; the
  /// pruned network is then left half refitted.
  template <CovarianceRange R>
  std::vector<SequentialStep> operator()(const PruningPlan& plan, const R& covariances,
                                         const MatrixView<float>& start) {
    detail::ResidualNetworkAdapter<N> dense(dense_), pruned(pruned_);
    return detail::sequential_refit(dense, pruned, options_, context_, plan, detail::length_of(covariances),
                                    detail::moments_of(covariances), start);
  }

 private:
  N& dense_;
  N& pruned_;
  SequentialOptions options_;
  Context context_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/sequential-inl.hpp"
#endif
