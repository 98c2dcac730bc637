#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/dependent.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/core/stored_matrix.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/regression.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::int64_t step_bytes(Index features, Index width) {
  return 8 * static_cast<std::int64_t>(Covariance<float>::bytes(features + width));
}

namespace detail {

VBP_FUNCTION void require_sequential_options(const SequentialOptions& options) {
  if (options.shrinkages.empty()) throw_value_error({"the sequential refit needs a shrinkage"});
  if (options.batch < 1 || options.thinning < 1 || options.held_out < 0 || options.held_out == 1) {
    throw_value_error({"the sequential refit needs a positive batch and thinning, and samples to fit"});
  }
}

/// One walk of SequentialRefit. T is float; a template, so that it is compiled only where it is used.
template <class T>
class SequentialWalk {
 public:
  SequentialWalk(AnyResidualNetwork& dense, AnyResidualNetwork& pruned, const SequentialOptions& options,
                 const Context& context)
      : dense_(dense),
        pruned_(pruned),
        options_(options),
        context_(context),
        workspace_(context),
        solver_(context) {}

  std::vector<SequentialStep> run(const PruningPlan& plan, std::size_t covariances,
                                  const NextBlockMoments& next_moments, const MatrixView<T>& start) {
    require_fitting(plan, covariances, start);
    store_start(start);
    std::vector<SequentialStep> steps;
    auto planned = plan.blocks.begin();
    report(0);
    for (Index step = 0; step < dense_.steps(); ++step) {
      SequentialStep& entry =
          steps.emplace_back(SequentialStep{.name = dense_.name(step), .kind = dense_.kind(step)});
      with_context(entry.name, [&] {
        if (entry.kind == StepKind::mlp) {
          // The moments may be large: they end with this statement.
          const LinearFit centre = block_solution(step, planned->kept, next_moments());
          refit_mlp(step, *planned++, centre, entry);
        } else {
          refit_branch(step, entry);
        }
        move_pruned(step);
        features_width_ = 0;
      });
      report(step + 1);
    }
    return steps;
  }

 private:
  using Stream = StoredMatrix<T>;
  using Double = DoubleFor<T>;

  ThreadPool& pool() { return context_.pool(); }
  Index last_layer(Index step) const { return dense_.layers(step) - 1; }

  void report(Index done) const {
    context_.report({.task = "refitting", .unit = "steps", .done = done, .total = dense_.steps()});
  }

  void require_fitting(const PruningPlan& plan, std::size_t covariances, const MatrixView<T>& start) const {
    std::size_t blocks = 0;
    for (Index step = 0; step < dense_.steps(); ++step) blocks += dense_.kind(step) == StepKind::mlp ? 1 : 0;
    if (plan.blocks.size() != blocks || covariances != blocks) {
      throw_shape_error({"a plan for ", plan.blocks.size(), " blocks and covariances of ", covariances,
                         " for a network of ", blocks});
    }
    if (start.rows() == 0 || blocks == 0 || start.rows() % dense_.rows_per_sample(0) != 0) {
      throw_shape_error({"a stream of ", start.rows(), " rows is no whole number of samples"});
    }
  }

  /// Stores samples that are fitted first and those held out last, so that each batch is of one kind.
  void store_start(const MatrixView<T>& start) {
    const Index rows = dense_.rows_per_sample(0);
    samples_ = start.rows() / rows;
    dense_stream_ = Stream(start.rows(), start.cols(), options_.folder);
    Index next = 0;
    for (const bool held_out : {false, true}) {
      for (Index i = 0; i < samples_; ++i) {
        if ((options_.held_out > 0 && i % options_.held_out == options_.held_out - 1) != held_out) continue;
        dense_stream_.middleRows(next++ * rows, rows) = start.middleRows(i * rows, rows);
      }
      if (!held_out) fitted_ = next;
    }
  }

  /// Calls body(first row, rows, held out) for batches of whole samples; those held out only if asked for.
  /// Throws Cancelled.
  template <class Body>
  void for_each_batch(Index step, bool with_held_out, Body&& body) const {
    const Index rows = dense_.rows_per_sample(step);
    for (Index first = 0, count = 0; first < (with_held_out ? samples_ : fitted_); first += count) {
      context_.require_not_cancelled();
      const bool held_out = first >= fitted_;
      count = std::min(options_.batch, (held_out ? samples_ : fitted_) - first);
      body(first * rows, count * rows, held_out);
    }
  }

  /// Moves a stream over one step: in place, unless a transition changes its shape.
  void move(AnyResidualNetwork& network, Index step, Stream& stream) {
    if (network.kind(step) == StepKind::transition) return move_across(network, step, stream);
    for_each_batch(step, true, [&](Index first, Index rows, bool) {
      const auto part = stream.middleRows(first, rows);
      network.inputs(step, last_layer(step), part, inputs_);
      network.add_output(step, inputs_, part);
    });
  }
  void move_across(AnyResidualNetwork& network, Index step, Stream& stream) {
    const Index rows_after = step + 1 < network.steps() ? network.rows_per_sample(step + 1) : 0;
    Stream next;
    for_each_batch(step, true, [&](Index first, Index rows, bool) {
      network.run(step, stream.middleRows(first, rows), targets_);
      if (next.size() == 0) next = Stream(samples_ * rows_after, targets_.cols(), options_.folder);
      next.middleRows(first / network.rows_per_sample(step) * rows_after, targets_.rows()) = targets_;
    });
    stream = std::move(next);
  }

  void move_dense(Index step) { move(dense_, step, dense_stream_); }
  /// Nothing reads what would leave the last step.
  void move_pruned(Index step) {
    if (!diverged_ || step + 1 == pruned_.steps()) return;
    if (features_width_ == 0) return move(pruned_, step, pruned_stream_);
    for_each_batch(step, true, [&](Index first, Index rows, bool) {
      pruned_.add_output(step, features_.middleRows(first, rows).leftCols(features_width_),
                         pruned_stream_.middleRows(first, rows));
    });
  }

  /// Keeps the inputs of a branch's last layer from its fit until the stream moves on, so that attention is
  /// not computed twice, unless they take more than a stream does.
  void keep_features(Index step) {
    const Index width = pruned_.layer_inputs(step, last_layer(step));
    if (width > pruned_stream_.cols()) return;
    if (features_.rows() != pruned_stream_.rows() || features_.cols() != pruned_stream_.cols()) {
      features_ = Stream(pruned_stream_.rows(), pruned_stream_.cols(), options_.folder);
    }
    features_width_ = width;
  }

  /// Calls body(first row, rows) for every sample among `rows` rows, on several threads.
  template <class Body>
  void for_each_sample(Index step, Index rows, Body&& body) {
    const Index each = dense_.rows_per_sample(step);
    pool().parallel_for(rows / each, [&](Index sample) { body(sample * each, each); });
  }

  /// Puts what the last layer of a step has to add to a batch into targets_. The dense stream is one step
  /// ahead.
  void compute_targets(Index step, Index first, Index rows) {
    targets_.resize(rows, dense_stream_.cols());
    for_each_sample(step, rows, [&](Index at, Index count) {
      targets_.middleRows(at, count) =
          dense_stream_.middleRows(first + at, count) - pruned_stream_.middleRows(first + at, count);
    });
  }

  /// Maps the pruned stream's inputs a' of layer 0 onto the dense ones, a ~ M a' + e, so that W (M a' + e) +
  /// b is what the layer gave before; M is shrunk towards the identity.
  void align_inputs(Index step) {
    if (!diverged_ || dense_.layers(step) < 2) return;
    const Index width = dense_.layer_inputs(step, 0);
    HeldOutRegression regression(width, width);
    for_each_batch(step, true, [&](Index first, Index rows, bool held_out) {
      pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), inputs_);
      dense_.inputs(step, 0, dense_stream_.middleRows(first, rows), targets_);
      regression.observe(inputs_, targets_, held_out, pool());
    });
    const RegressionFit fit =
        std::move(regression).solve(Matrix<Double>::Identity(width, width), options_.shrinkages, solver_);
    const Matrix<Double> weight = pruned_.weight(step, 0);
    const Vector<Double> bias = pruned_.bias(step, 0);
    pruned_.set_layer(step, 0, weight * fit.layer.weight, bias + weight * fit.layer.bias);
  }

  /// Joint moments of the last layer's inputs in the pruned network and of what it has to add.
  HeldOutRegression regress(Index step) {
    const Index features = pruned_.layer_inputs(step, last_layer(step));
    HeldOutRegression regression(features, dense_stream_.cols());
    for_each_batch(step, true, [&](Index first, Index rows, bool held_out) {
      pruned_.inputs(step, last_layer(step), pruned_stream_.middleRows(first, rows), inputs_);
      compute_targets(step, first, rows);
      if (features_width_ > 0) {
        for_each_sample(step, rows, [&](Index at, Index count) {
          features_.middleRows(first + at, count).leftCols(features) = inputs_.middleRows(at, count);
        });
      }
      regression.observe(inputs_, targets_, held_out, pool());
    });
    return regression;
  }

  /// diag(g) W with the step's layer scale g: what the layer adds to the stream, a row an output.
  Matrix<Double> scaled(Index step, Matrix<Double> weight) const {
    const Vector<T> scale = dense_.scale(step);
    if (scale.size() > 0) weight = scale.template cast<Double>().asDiagonal() * weight;
    return weight;
  }

  /// Gives the last layer a fit of what it adds; outputs of scale 0 keep the centre.
  void set_last(Index step, const RegressionFit& fit, const LinearFit& centre, SequentialStep& entry) {
    Matrix<Double> weight = fit.layer.weight;
    Vector<Double> bias = fit.layer.bias;
    const Vector<T> scale = dense_.scale(step);
    for (Index i = 0; i < scale.size(); ++i) {
      if (scale(i) == T(0)) {
        weight.row(i) = centre.weight.row(i);
        bias(i) = centre.bias(i);
      } else {
        weight.row(i) /= static_cast<double>(scale(i));
        bias(i) /= static_cast<double>(scale(i));
      }
    }
    pruned_.set_layer(step, last_layer(step), weight, bias);
    entry.refitted = true;
    entry.before = fit.centre_error;
    entry.after = fit.error;
    entry.shrinkage = fit.shrinkage;
  }

  /// A branch that is not pruned, or a transition: fits the branch's last layer where it is asked to.
  void refit_branch(Index step, SequentialStep& entry) {
    if (entry.kind == StepKind::branch && options_.inputs) align_inputs(step);
    if (entry.kind != StepKind::branch || !options_.branches || !diverged_) return move_dense(step);
    const LinearFit centre{pruned_.weight(step, last_layer(step)), pruned_.bias(step, last_layer(step))};
    move_dense(step);
    keep_features(step);
    set_last(step, regress(step).solve(scaled(step, centre.weight), options_.shrinkages, solver_), centre,
             entry);
  }

  /// The closed-form refit of the block by itself, which its second layer is shrunk towards.
  LinearFit block_solution(Index step, std::span<const Index> kept, const BlockMoments& moments) {
    return refit(dense_.weight(step, 1), dense_.bias(step, 1), moments.mean, moments.covariance, kept,
                 {.lambda = options_.lambda}, solver_);
  }

  void refit_mlp(Index step, const PruningPlan::Block& planned, const LinearFit& centre,
                 SequentialStep& entry) {
    const bool cut = planned.removed() > 0;
    if (options_.inputs) align_inputs(step);
    if (cut && !diverged_) pruned_stream_ = dense_stream_.copy();
    move_dense(step);
    if (!cut && !diverged_) return;
    pruned_.shrink_block(step, planned.kept);
    diverged_ = true;
    pruned_.set_layer(step, 1, centre.weight, centre.bias);
    const Matrix<Double> scaled_centre = scaled(step, centre.weight);
    RegressionFit fit = regress(step).solve(scaled_centre, options_.shrinkages, solver_);
    entry.first_layer_steps = fit_first_layer(step, scaled_centre, fit);
    set_last(step, fit, centre, entry);
  }

  /// Gauss-Newton on W1 with W2 refitted after each step; stops at the first step that does not lower the
  /// error on the samples held out (or, where none are, on the fitted ones). Returns the steps taken and
  /// leaves the fit of the last one in `fit`.
  int fit_first_layer(Index step, const Matrix<Double>& scaled_centre, RegressionFit& fit) {
    int taken = 0;
    for (; taken < options_.first_layer_steps; ++taken) {
      const LinearFit first_layer{pruned_.weight(step, 0), pruned_.bias(step, 0)};
      const LinearFit moved = gauss_newton_step(step, first_layer, fit.layer);
      pruned_.set_layer(step, 0, moved.weight, moved.bias);
      RegressionFit next = regress(step).solve(scaled_centre, options_.shrinkages, solver_);
      next.centre_error = fit.centre_error;
      const bool better = fitted_ < samples_ ? next.held_out < fit.held_out : next.error < fit.error;
      if (!better) {
        pruned_.set_layer(step, 0, first_layer.weight, first_layer.bias);
        break;
      }
      fit = std::move(next);
    }
    return taken;
  }

  LinearFit gauss_newton_step(Index step, const LinearFit& first_layer, const LinearFit& second_layer) {
    FirstLayerStep<T> gauss_newton(first_layer.weight, first_layer.bias, second_layer, options_.thinning);
    const auto activate = [&](T* values, Index count) { pruned_.activate(step, values, count); };
    for_each_batch(step, false, [&](Index first, Index rows, bool) {
      pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), inputs_);
      compute_targets(step, first, rows);
      gauss_newton.add_gradient(inputs_, targets_, activate, workspace_);
    });
    gauss_newton.solve(solver_);
    for_each_batch(step, false, [&](Index first, Index rows, bool) {
      pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), inputs_);
      gauss_newton.add_curvature(inputs_, activate, workspace_);
    });
    return gauss_newton.step();
  }

  AnyResidualNetwork& dense_;
  AnyResidualNetwork& pruned_;
  const SequentialOptions& options_;
  Context context_;
  Index samples_ = 0, fitted_ = 0;
  bool diverged_ = false;
  /// There is one stream until the first block is cut.
  Stream dense_stream_, pruned_stream_;
  Stream features_;           ///< see keep_features
  Index features_width_ = 0;  ///< of the features that are kept of this step; 0: none
  Matrix<T> inputs_, targets_;
  kernels::Workspace<T> workspace_;
  kernels::Workspace<double> solver_;  ///< for the regressions
};

VBP_FUNCTION std::vector<SequentialStep> sequential_refit(
    AnyResidualNetwork& dense, AnyResidualNetwork& pruned, const SequentialOptions& options,
    const Context& context, const PruningPlan& plan, std::size_t covariances,
    const NextBlockMoments& next_moments, const MatrixView<float>& start) {
  return SequentialWalk<float>(dense, pruned, options, context).run(plan, covariances, next_moments, start);
}

}  // namespace detail

}  // namespace vbp::inline VBP_ABI
