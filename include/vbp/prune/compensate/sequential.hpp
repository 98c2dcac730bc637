#pragma once
/// Sequential refit: walks a network from its input and fits each layer so that the pruned network's residual
/// stream lands on the dense one's, which takes away the error that came from before. docs/math.md derives
/// it.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/progress.hpp"
#include "vbp/core/stored_matrix.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/regression.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/residual_network.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// Which layers the walk may fit, and how.
struct SequentialOptions {
  /// The layer that adds to the stream in branches that are not pruned: attention's output projection.
  bool branches = true;
  /// Layers that read the stream (fc1; q, k, v): the pruned stream's inputs are mapped onto the dense ones.
  bool inputs = true;
  /// Gauss-Newton steps on W1 of each pruned block, at most; each must lower the error on held-out samples.
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
  /// Where the residual streams lie: in memory if empty, else in files of this folder.
  std::filesystem::path folder = {};
};

/// What happened at one step. `before` and `after` are the mean squared distances of what the layer adds from
/// what would land on the dense stream, as a share of that target's variance, on all samples: with the
/// per-block solution (or the dense layer) and with the refitted one.
struct SequentialStep {
  std::string name;
  StepKind kind = StepKind::transition;
  bool refitted = false;
  double before = 0.0;
  double after = 0.0;
  double shrinkage = 0.0;
  int first_layer_steps = 0;
};

/// Bytes of a residual stream; a walk keeps two, the dense network's and the pruned one's, and as much again
/// of what a branch's last layer reads, in memory or in files.
inline std::int64_t stream_bytes(Index rows, Index width) {
  return static_cast<std::int64_t>(rows) * width * static_cast<std::int64_t>(sizeof(float));
}

/// Bytes of memory, about, that ranking a block or fitting its step takes beside the streams: eight matrices
/// at most of the size of the joint moments of the step's features and the stream.
inline std::int64_t step_bytes(Index features, Index width) {
  return 8 * static_cast<std::int64_t>(Covariance<float>::bytes(features + width));
}

/// Refits a pruned network against its dense twin, both models of ResidualNetwork over float.
template <ResidualNetwork N>
class SequentialRefit {
  static_assert(std::same_as<typename N::Scalar, float>, "the streams are float");

 public:
  /// `pruned` comes with the dense weights and is cut and refitted. Throws ValueError for impossible options.
  SequentialRefit(N& dense, N& pruned, SequentialOptions options = {})
      : dense_(dense), pruned_(pruned), options_(std::move(options)) {
    if (options_.shrinkages.empty()) throw ValueError("the sequential refit needs a shrinkage");
    if (options_.batch < 1 || options_.thinning < 1 || options_.held_out < 0 || options_.held_out == 1) {
      throw ValueError("the sequential refit needs a positive batch and thinning, and samples to fit");
    }
  }

  /// plan and covariances (of the dense hidden activations) have one entry an mlp step, in order; start
  /// [samples * rows_per_sample(0), width] enters the first step. Throws ShapeError, or ValueError naming the
  /// step. progress counts steps and is asked at every batch; if it wants to stop, the network is left half
  /// refitted and the steps that were finished are returned.
  template <CovarianceRange R>
  std::vector<SequentialStep> operator()(const PruningPlan& plan, const R& covariances,
                                         const MatrixView<float>& start, const Progress& progress = {}) {
    require_fitting(plan, static_cast<std::size_t>(std::ranges::distance(covariances)), start);
    lay_out(start);
    progress_ = progress;
    std::vector<SequentialStep> report;
    auto planned = plan.blocks.begin();
    auto covariance = std::ranges::begin(covariances);
    for (Index step = 0; step < dense_.steps(); ++step) {
      SequentialStep& entry =
          report.emplace_back(SequentialStep{.name = dense_.name(step), .kind = dense_.kind(step)});
      try {
        if (entry.kind == StepKind::mlp) {
          refit_mlp(step, *planned++, *covariance++, entry);
        } else if (entry.kind == StepKind::branch && options_.branches && diverged_) {
          if (options_.inputs) align_inputs(step);
          const Matrix<double> weight = pruned_.weight(step, last_layer(step)).template cast<double>();
          const Vector<double> bias = Vector<float>(pruned_.bias(step, last_layer(step))).cast<double>();
          move_dense(step);
          keep_features(step);
          set_last(step, regress(step).solve(scaled(step, weight), options_.shrinkages, solver_),
                   {weight, bias}, entry);
        } else {
          if (entry.kind == StepKind::branch && options_.inputs) align_inputs(step);
          move_dense(step);
        }
        move_pruned(step);
        features_width_ = 0;
      } catch (const ValueError& error) {
        throw ValueError(entry.name + ": " + error.what());
      } catch (const Stopped&) {
        report.pop_back();
        break;
      }
      if (!go_on(step + 1)) break;
    }
    return report;
  }

 private:
  using Stream = StoredMatrix<float>;
  struct Stopped {};  ///< thrown in the middle of a step

  ThreadPool& pool() { return dense_.workspace().pool(); }
  bool go_on(Index steps_done) const { return !progress_ || progress_(steps_done, dense_.steps()); }
  Index last_layer(Index step) const { return dense_.layers(step) - 1; }

  void require_fitting(const PruningPlan& plan, std::size_t covariances,
                       const MatrixView<float>& start) const {
    std::size_t blocks = 0;
    for (Index step = 0; step < dense_.steps(); ++step) blocks += dense_.kind(step) == StepKind::mlp ? 1 : 0;
    if (plan.blocks.size() != blocks || covariances != blocks) {
      throw ShapeError("a plan for " + std::to_string(plan.blocks.size()) + " blocks and covariances of " +
                       std::to_string(covariances) + " for a network of " + std::to_string(blocks));
    }
    if (start.rows() == 0 || blocks == 0 || start.rows() % dense_.rows_per_sample(0) != 0) {
      throw ShapeError("a stream of " + std::to_string(start.rows()) + " rows is no whole number of samples");
    }
  }

  /// Samples that are fitted come first, those held out last, so that a batch is all one or the other.
  void lay_out(const MatrixView<float>& start) {
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
    pruned_stream_ = {};
    features_ = {};
    features_width_ = 0;
    diverged_ = false;
  }

  /// body(first row, rows, held out) for batches of whole samples; those held out are left out if asked.
  /// Throws Stopped.
  template <class Body>
  void for_each_batch(Index step, bool with_held_out, Body&& body) const {
    const Index rows = dense_.rows_per_sample(step);
    for (Index first = 0, count = 0; first < (with_held_out ? samples_ : fitted_); first += count) {
      if (!go_on(step)) throw Stopped{};
      const bool held_out = first >= fitted_;
      count = std::min(options_.batch, (held_out ? samples_ : fitted_) - first);
      body(first * rows, count * rows, held_out);
    }
  }

  /// A stream changes in place; only a transition may change its shape.
  void move(N& network, Index step, Stream& stream) {
    if (network.kind(step) == StepKind::transition) return move_across(network, step, stream);
    for_each_batch(step, true, [&](Index first, Index rows, bool) {
      const auto part = stream.middleRows(first, rows);
      network.inputs(step, last_layer(step), part, a_);
      network.add_output(step, a_, part);
    });
  }
  void move_across(N& network, Index step, Stream& stream) {
    const Index rows_after = step + 1 < network.steps() ? network.rows_per_sample(step + 1) : 0;
    Stream next;
    for_each_batch(step, true, [&](Index first, Index rows, bool) {
      network.run(step, stream.middleRows(first, rows), b_);
      if (next.size() == 0) next = Stream(samples_ * rows_after, b_.cols(), options_.folder);
      next.middleRows(first / network.rows_per_sample(step) * rows_after, b_.rows()) = b_;
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

  /// What a branch's last layer reads is kept from its fit until the stream moves on, which saves going
  /// through attention twice, unless it takes more than a stream does.
  void keep_features(Index step) {
    const Index width = pruned_.weight(step, last_layer(step)).cols();
    if (width > pruned_stream_.cols()) return;
    if (features_.rows() != pruned_stream_.rows() || features_.cols() != pruned_stream_.cols()) {
      features_ = Stream(pruned_stream_.rows(), pruned_stream_.cols(), options_.folder);
    }
    features_width_ = width;
  }

  /// body(first row, rows) for every sample among `rows` rows, on several threads.
  template <class Body>
  void for_each_sample(Index step, Index rows, Body&& body) {
    const Index each = dense_.rows_per_sample(step);
    pool().parallel_for(rows / each, [&](Index sample) { body(sample * each, each); });
  }

  /// What the last layer of a step has to add to a batch, with the dense stream one step ahead, into b_.
  void take_targets(Index step, Index first, Index rows) {
    b_.resize(rows, dense_stream_.cols());
    for_each_sample(step, rows, [&](Index at, Index count) {
      b_.middleRows(at, count) =
          dense_stream_.middleRows(first + at, count) - pruned_stream_.middleRows(first + at, count);
    });
  }

  /// Maps the pruned stream's inputs of layer 0 onto the dense ones, a ~ M a' + e, so that W (M a' + e) + b
  /// is what the layer gave before; M is shrunk towards the identity.
  void align_inputs(Index step) {
    if (!diverged_ || dense_.layers(step) < 2) return;
    const Index width = dense_.weight(step, 0).cols();
    FoldedRegression regression(width, width);
    for_each_batch(step, true, [&](Index first, Index rows, bool held_out) {
      pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), a_);
      dense_.inputs(step, 0, dense_stream_.middleRows(first, rows), b_);
      regression.observe(a_, b_, held_out, pool());
    });
    const auto fit =
        std::move(regression).solve(Matrix<double>::Identity(width, width), options_.shrinkages, solver_);
    const Matrix<double> weight = pruned_.weight(step, 0).template cast<double>();
    const Vector<double> bias = Vector<float>(pruned_.bias(step, 0)).cast<double>();
    pruned_.set_layer(step, 0, weight * fit.layer.weight, bias + weight * fit.layer.bias);
  }

  /// Joint moments of the last layer's inputs in the pruned network and of what it has to add.
  FoldedRegression regress(Index step) {
    const Index features = pruned_.weight(step, last_layer(step)).cols();
    FoldedRegression regression(features, dense_stream_.cols());
    for_each_batch(step, true, [&](Index first, Index rows, bool held_out) {
      pruned_.inputs(step, last_layer(step), pruned_stream_.middleRows(first, rows), a_);
      take_targets(step, first, rows);
      if (features_width_ > 0) {
        for_each_sample(step, rows, [&](Index at, Index count) {
          features_.middleRows(first + at, count).leftCols(features) = a_.middleRows(at, count);
        });
      }
      regression.observe(a_, b_, held_out, pool());
    });
    return regression;
  }

  /// diag(g) W: what the layer adds to the stream, a row an output.
  Matrix<double> scaled(Index step, Matrix<double> weight) const {
    const Vector<float> scale = dense_.scale(step);
    if (scale.size() > 0) weight = scale.template cast<double>().asDiagonal() * weight;
    return weight;
  }

  /// Takes a fit of what is added into the layer; outputs of scale 0 keep the centre.
  void set_last(Index step, const FoldedRegression::Fit& fit, const LinearFit& centre,
                SequentialStep& entry) {
    LinearFit layer = fit.layer;
    const Vector<float> scale = dense_.scale(step);
    for (Index i = 0; i < scale.size(); ++i) {
      if (scale(i) == 0.0F) {
        layer.weight.row(i) = centre.weight.row(i);
        layer.bias(i) = centre.bias(i);
      } else {
        layer.weight.row(i) /= static_cast<double>(scale(i));
        layer.bias(i) /= static_cast<double>(scale(i));
      }
    }
    pruned_.set_layer(step, last_layer(step), layer.weight, layer.bias);
    entry.refitted = true;
    entry.before = fit.centre_error;
    entry.after = fit.error;
    entry.shrinkage = fit.shrinkage;
  }

  template <class C>
  void refit_mlp(Index step, const PruningPlan::Block& planned, const C& covariance, SequentialStep& entry) {
    const Matrix<double> w2 = dense_.weight(step, 1).template cast<double>();
    const Vector<double> b2 = Vector<float>(dense_.bias(step, 1)).cast<double>();
    const LinearFit centre = refit(w2, b2, covariance.mean(), covariance.covariance(), planned.kept,
                                   {.lambda = options_.lambda}, solver_);
    const bool cut = planned.removed() > 0;
    if (options_.inputs) align_inputs(step);
    if (cut && !diverged_) pruned_stream_ = dense_stream_.copy();
    move_dense(step);
    if (!cut && !diverged_) return;
    shrink(pruned_.block(step), planned.kept);
    diverged_ = true;
    pruned_.set_layer(step, 1, centre.weight, centre.bias);
    const Matrix<double> scaled_centre = scaled(step, centre.weight);
    auto fit = regress(step).solve(scaled_centre, options_.shrinkages, solver_);
    entry.first_layer_steps = fit_first_layer(step, scaled_centre, fit);
    set_last(step, fit, centre, entry);
  }

  /// Gauss-Newton on W1 with W2 refitted after each step; stops at the first one that does not help samples
  /// held out (or, where none are, the fitted ones). Returns the steps taken; fit is that of the last.
  int fit_first_layer(Index step, const Matrix<double>& scaled_centre, FoldedRegression::Fit& fit) {
    int taken = 0;
    for (; taken < options_.first_layer_steps; ++taken) {
      const Matrix<double> weight = pruned_.weight(step, 0).template cast<double>();
      const Vector<double> bias = Vector<float>(pruned_.bias(step, 0)).cast<double>();
      FirstLayerStep gauss_newton(weight, bias, fit.layer, options_.thinning);
      const auto activate = [&](float* values, Index count) { pruned_.activate(step, values, count); };
      auto& workspace = dense_.workspace();
      for_each_batch(step, false, [&](Index first, Index rows, bool) {
        pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), a_);
        take_targets(step, first, rows);
        gauss_newton.add_gradient(a_, b_, activate, workspace);
      });
      gauss_newton.solve(solver_);
      for_each_batch(step, false, [&](Index first, Index rows, bool) {
        pruned_.inputs(step, 0, pruned_stream_.middleRows(first, rows), a_);
        gauss_newton.add_curvature(a_, activate, workspace);
      });
      const LinearFit moved = gauss_newton.step();
      pruned_.set_layer(step, 0, moved.weight, moved.bias);
      auto next = regress(step).solve(scaled_centre, options_.shrinkages, solver_);
      next.centre_error = fit.centre_error;
      const bool better = fitted_ < samples_ ? next.held_out < fit.held_out : next.error < fit.error;
      if (!better) {
        pruned_.set_layer(step, 0, weight, bias);
        break;
      }
      fit = std::move(next);
    }
    return taken;
  }

  N& dense_;
  N& pruned_;
  SequentialOptions options_;
  Progress progress_;
  Index samples_ = 0, fitted_ = 0;
  bool diverged_ = false;
  /// There is one stream until the first block is cut.
  Stream dense_stream_, pruned_stream_;
  Stream features_;           ///< see keep_features
  Index features_width_ = 0;  ///< of those that are kept of this step; 0: none
  Matrix<float> a_, b_;
  kernels::Workspace<double> solver_{pool().size()};  ///< that regressions are solved on
};

}  // namespace vbp::inline VBP_ABI
