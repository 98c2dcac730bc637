#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/pipeline/prune.hpp"
#include "vbp/pipeline/steps.hpp"
#include "vbp/prune/budget/latency.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/prune/criteria/clusters.hpp"
#include "vbp/prune/criteria/denoised.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/magnitude.hpp"
#include "vbp/prune/criteria/output_variance.hpp"
#include "vbp/prune/criteria/random.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/scores.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/criteria/snip.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/pruner.hpp"

namespace vbp::inline VBP_ABI {

// ---- options ----

namespace detail {

/// The options that choose neurons in a single network's blocks.
VBP_FUNCTION PrunerOptions pruner_options(const PruneOptions& options) {
  return {.rate = options.rate,
          .kept = options.kept,
          .scope = options.scope,
          .min_width = options.min_width,
          .max_width = options.max_width,
          .multiple = options.multiple,
          .exclude = options.exclude};
}

VBP_FUNCTION LatencyModel latency_model(const AnyModel& dense, LatencyTableOptions options, Context context) {
  return LatencyModel(dense, std::move(options), std::move(context));
}

VBP_FUNCTION void require_share(const char* name, double share) {
  if (share > 0.0 && share <= 1.0) return;
  throw ValueError("a share " + shortest_text(share) + " of the " + name + " is outside (0, 1]");
}

}  // namespace detail

VBP_FUNCTION void require_prune_options(const PruneOptions& options) {
  const int budgets = options.rate.has_value() + options.kept.has_value() + options.macs.has_value() +
                      options.parameters.has_value() + options.latency.has_value();
  if (budgets != 1) {
    throw ValueError("exactly one of rate, kept, macs, parameters and latency must be given, not " +
                     std::to_string(budgets));
  }
  if (options.macs) detail::require_share("MACs", *options.macs);
  if (options.parameters) detail::require_share("parameters", *options.parameters);
  if (options.latency) {
    const auto& [value, milliseconds] = *options.latency;
    if (!milliseconds) detail::require_share("latency", value);
    if (!(value > 0.0)) throw ValueError("a latency of " + shortest_text(value) + " ms is not positive");
    if (options.scope == Scope::block) {
      throw ValueError("under a latency budget neurons compete over the whole network");
    }
  }
  if (options.batch < 1) throw ValueError("the batch must be positive");
  PrunerOptions pruner = detail::pruner_options(options);
  if (!pruner.rate && !pruner.kept) pruner.rate = 0.0;
  require_options(pruner);
}

VBP_FUNCTION Method resolve_method(const PruneOptions& options, const PruneInputs& inputs) {
  using Input = MissingInputError::Input;
  Method method;
  method.criterion = options.criterion.value_or(inputs.covariances ? Criterion::greedy : Criterion::variance);
  method.compensation = options.compensation.value_or(inputs.images        ? Compensation::sequential_all
                                                      : inputs.covariances ? Compensation::refit
                                                                           : Compensation::mean_shift);
  if (method.needs_labels() && !inputs.labels) {
    throw MissingInputError(
        "the criterion " + std::string(name_of(method.criterion)) + " needs the gradients of labelled images",
        Input::labels);
  }
  if (method.needs_images() && !inputs.images) {
    throw MissingInputError(
        "the compensation " + std::string(name_of(method.compensation)) + " walks the calibration images",
        Input::images);
  }
  if (method.needs_covariance() && !inputs.covariances) {
    throw MissingInputError("the method " + method.name() + " needs covariances", Input::covariances);
  }
  return method;
}

// ---- budgets ----

VBP_FUNCTION ModelBudget::ModelBudget(const PruneOptions& options, const AnyModel& model, Context context)
    : options_(detail::pruner_options(options)) {
  require_prune_options(options);
  const ModelDescription description = model.description();
  names_ = description.blocks;
  widths_ = description.hidden_widths;
  if (options.macs) resource_ = model.resource("MACs", &Cost::macs);
  if (options.parameters) resource_ = model.resource("parameters", &Cost::parameters);
  if (resource_) share_ = options.macs ? *options.macs : *options.parameters;
  if (options.latency) {
    // From a finished model: compilers look into emplace(), and from there into the constructor it calls.
    latency_.emplace(detail::latency_model(model, options.latency_table, std::move(context)));
    // Messages use the unit that was asked for.
    unit_ = options.latency->milliseconds ? latency_->dense_ms() : 1.0;
    unit_name_ = options.latency->milliseconds ? " ms" : " of the dense latency";
    share_ = options.latency->value / unit_;
  }
}

VBP_FUNCTION PruningPlan ModelBudget::even_plan() const {
  Scores ones;
  for (const Index width : widths_) ones.push_back(Vector<double>::Ones(width));
  const std::vector<Ranking> rankings = rankings_of(ones);
  if (latency_) {
    const auto time = [this](std::size_t, Index width) { return unit_ * latency_->block_share(width); };
    return plan_within_time(names_, rankings, time, unit_ * share_, options_, unit_name_);
  }
  if (resource_) return plan_within(names_, rankings, *resource_, share_, options_);
  return plan_from_rankings(names_, rankings, options_);
}

VBP_FUNCTION BudgetedPlan ModelBudget::plan(const std::vector<Ranking>& rankings) {
  if (latency_) {
    const auto time = [this](std::size_t, Index width) { return unit_ * latency_->block_share(width); };
    const auto measure = [this](const PruningPlan& plan) { return unit_ * latency_->measured_share(plan); };
    TimedPlan timed =
        plan_within_measured_time(names_, rankings, time, measure, unit_ * share_, options_, unit_name_);
    return {std::move(timed.plan), ReachedBudget{"latency", share_, timed.time / unit_}};
  }
  if (resource_) {
    PruningPlan plan = plan_within(names_, rankings, *resource_, share_, options_);
    const double left = static_cast<double>(resource_->left(plan)) / static_cast<double>(resource_->total);
    return {std::move(plan), ReachedBudget{resource_->name, share_, left}};
  }
  return {plan_from_rankings(names_, rankings, options_)};
}

// ---- rankings ----

namespace detail {

/// Images that sensitivities are measured with: their error of a few percent moves no width by much.
inline constexpr Index kSensitivityImages = 128;

/// The share of a block's neurons that is cut to measure its sensitivity: the default of
/// output_sensitivities.
inline constexpr double kSensitivityShare = 0.6;

/// Blocks that may be ranked at the same time within the memory limit.
VBP_FUNCTION Index blocks_at_once(const AnyModel& dense, const CalibrationResult& calibration,
                                  const Context& context) {
  const Index threads = context.threads();
  if (!calibration.memory.bytes) return threads;
  std::int64_t kept = 0;
  for (const auto& covariance : calibration.calibration.covariances) {
    kept += static_cast<std::int64_t>(Covariance<float>::bytes(covariance.features()));
  }
  const std::vector<Index> widths = dense.description().hidden_widths;
  const std::int64_t each = step_bytes(*std::max_element(widths.begin(), widths.end()), 0);
  const std::int64_t fitting = (static_cast<std::int64_t>(*calibration.memory.bytes) - kept) / each;
  return std::clamp<Index>(fitting, 1, threads);
}

/// Calls rank(block) for every block, as many at the same time as the memory limit allows.
template <class Rank>
void for_each_block(const AnyModel& dense, const CalibrationResult& calibration, const Context& context,
                    Rank&& rank) {
  const auto count = static_cast<Index>(calibration.calibration.names.size());
  Index at_once = blocks_at_once(dense, calibration, context);
  if (at_once == context.threads()) at_once = count;
  for (Index first = 0; first < count; first += at_once) {
    context.require_not_cancelled();
    context.pool().parallel_for(std::min(at_once, count - first),
                                [&](Index i) { rank(static_cast<std::size_t>(first + i)); });
  }
}

/// Evenly spread samples of the residual stream that enters the first block.
template <class T>
Matrix<T> some_samples(const StoredMatrix<T>& stream, Index rows_per_sample) {
  const Index images = stream.rows() / rows_per_sample;
  const Index used = std::min(images, kSensitivityImages);
  Matrix<T> some(used * rows_per_sample, stream.cols());
  for (Index i = 0; i < used; ++i) {
    some.middleRows(i * rows_per_sample, rows_per_sample) =
        stream.middleRows(i * images / used * rows_per_sample, rows_per_sample);
  }
  return some;
}

/// The variance of the outputs W x of all features together.
template <class T>
T total_variance(const Matrix<T>& weight, const Matrix<T>& covariance) {
  return (weight * covariance).cwiseProduct(weight).sum();
}

/// output_sensitivities of the dense model. Steps is AnySteps; a template, as rank_blocks is, so that it is
/// compiled only where it is used.
template <class Steps>
std::vector<double> measured_sensitivities(const AnyModel& dense, const CalibrationResult& calibration,
                                           const std::vector<Ranking>& rankings, const Context& context) {
  AnyModel model = dense;
  Steps steps(model, context);
  return output_sensitivities(steps, rankings, calibration.covariances(),
                              some_samples(calibration.residual_stream, steps.rows_per_sample(0)),
                              kSensitivityShare, context);
}

/// What an error of each block's output weighs in the error of the network's.
VBP_FUNCTION std::vector<double> block_sensitivities(const AnyModel& dense,
                                                     const CalibrationResult& calibration,
                                                     const std::vector<Ranking>& rankings,
                                                     const Context& context) {
  if (calibration.residual_stream.rows() > 0) {
    return measured_sensitivities<AnySteps>(dense, calibration, rankings, context);
  }
  // Without images the variance of the residual stream stands in: what the blocks so far have added to it.
  std::vector<double> weights;
  double variance = 0.0;
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    variance += total_variance(dense.output_weight(b), calibration.covariance(b).covariance());
    weights.push_back(variance > 0.0 ? 1.0 / variance : 0.0);
  }
  return weights;
}

/// Rankings by scores that each block has for itself.
VBP_FUNCTION std::vector<Ranking> rank_by_block_scores(const AnyModel& dense,
                                                       const CalibrationResult& calibration,
                                                       Criterion criterion, double rate,
                                                       const Context& context) {
  const io::Calibration& seen = calibration.calibration;
  Scores scores(seen.names.size());
  for_each_block(dense, calibration, context, [&](std::size_t b) {
    scores[b] = criterion == Criterion::dvbp
                    ? denoised_scores(calibration.covariance(b).covariance(),
                                      static_cast<std::int64_t>(seen.images.size()), rate)
                    : output_variance_scores(seen.statistics[b].variance(), dense.output_weight(b));
  });
  return rankings_of(scores);
}

/// Rankings by elimination on the covariances, weighted by what a block's error does to the output.
VBP_FUNCTION std::vector<Ranking> rank_by_covariances(const AnyModel& dense,
                                                      const CalibrationResult& calibration,
                                                      Criterion criterion, const Context& context) {
  std::vector<Ranking> rankings(calibration.calibration.names.size());
  for_each_block(dense, calibration, context, [&](std::size_t b) {
    const Matrix<double> covariance = calibration.covariance(b).covariance();
    const Matrix<double> weight = dense.output_weight(b);
    rankings[b] = criterion == Criterion::greedy ? backward_elimination(covariance, weight)
                                                 : cluster_ranking(covariance, weight);
  });
  const std::vector<double> weights = block_sensitivities(dense, calibration, rankings, context);
  return weighted(std::move(rankings), weights);
}

template <class Model>
std::vector<Ranking> rank_blocks(const Model& dense, const CalibrationResult& calibration,
                                 Criterion criterion, double rate, const Context& context) {
  const io::Calibration& seen = calibration.calibration;
  switch (criterion) {
    case Criterion::variance:
      return rankings_of(variance_scores(seen.statistics, seen.names));
    case Criterion::magnitude:
      return rankings_of(magnitude_scores(dense.mlps()));
    case Criterion::random:
      return rankings_of(random_scores(dense.description().hidden_widths, 1));
    case Criterion::snip:
      if (calibration.gradient.empty()) {
        throw MissingInputError("the criterion snip needs the gradients of labelled images",
                                MissingInputError::Input::labels);
      }
      return rankings_of(snip_scores(dense.mlps(), calibration.gradient));
    case Criterion::output_variance:
      return rank_by_block_scores(dense, calibration, criterion, rate, context);
    case Criterion::dvbp:
    case Criterion::greedy:
    case Criterion::clusters:
      break;
  }
  if (!calibration.has_covariances()) {
    throw MissingInputError("the criterion " + std::string(name_of(criterion)) + " needs covariances",
                            MissingInputError::Input::covariances);
  }
  return criterion == Criterion::dvbp ? rank_by_block_scores(dense, calibration, criterion, rate, context)
                                      : rank_by_covariances(dense, calibration, criterion, context);
}

// ---- compensations ----

VBP_FUNCTION std::vector<CompensatedLayer> refit_each_block(const PruningPlan& plan,
                                                            const CalibrationResult& calibration,
                                                            AnyModel& model, const Context& context) {
  const auto errors = refit_and_shrink_blocks(plan, calibration.covariances(), model.mlps(), {}, context);
  std::vector<CompensatedLayer> layers;
  for (std::size_t b = 0; b < errors.size(); ++b) {
    layers.push_back({.name = plan.blocks[b].name,
                      .before = errors[b].mean_shift / errors[b].variance,
                      .after = errors[b].refit / errors[b].variance});
  }
  return layers;
}

VBP_FUNCTION std::vector<CompensatedLayer> refit_sequentially(const PruningPlan& plan,
                                                              Compensation compensation, Index batch,
                                                              const AnyModel& dense,
                                                              const CalibrationResult& calibration,
                                                              AnyModel& model, const Context& context) {
  const StoredMatrix<float>& stream = calibration.residual_stream;
  SequentialOptions options{.batch = batch, .folder = stream.folder()};
  options.branches = compensation != Compensation::sequential;
  if (compensation != Compensation::sequential_all) {
    options.inputs = false;
    options.first_layer_steps = 0;
  }
  AnyModel twin = dense;
  AnySteps followed(twin, context);
  AnySteps following(model, context);
  SequentialRefit<AnySteps> refit(followed, following, options, context);
  std::vector<CompensatedLayer> layers;
  for (const SequentialStep& step :
       refit(plan, calibration.covariances(), stream.middleRows(0, stream.rows()))) {
    if (!step.refitted) continue;
    layers.push_back({.name = step.name,
                      .before = step.before,
                      .after = step.after,
                      .shrinkage = step.shrinkage,
                      .first_layer_steps = step.first_layer_steps});
  }
  return layers;
}

/// Everything after the calibration.
VBP_FUNCTION PruneResult prune_calibrated(AnyModel& model, const CalibrationResult& calibration,
                                          const Method& method, ModelBudget& budget, Index batch,
                                          const Context& context) {
  ModelPruner pruner(model, calibration, batch, context);
  auto [plan, reached] = pruner.plan(method.criterion, budget);
  CompensatedModel compensated = pruner.apply(plan, method.compensation);
  PruneReport report{.method = method,
                     .calibration_images = static_cast<Index>(calibration.calibration.images.size()),
                     .budget = std::move(reached),
                     .compensated = std::move(compensated.layers),
                     .skipped = calibration.skipped,
                     .memory = calibration.memory_use()};
  model = std::move(compensated.model);
  return {std::move(plan), std::move(report)};
}

}  // namespace detail

VBP_FUNCTION const std::vector<Ranking>& ModelPruner::rankings(Criterion criterion, double rate) {
  std::string key(name_of(criterion));
  // Only DVBP's scores depend on the rate.
  if (criterion == Criterion::dvbp) key += std::to_string(rate);
  auto found = rankings_.find(key);
  if (found == rankings_.end()) {
    found =
        rankings_.emplace(key, detail::rank_blocks(dense_, calibration_, criterion, rate, context_)).first;
  }
  return found->second;
}

VBP_FUNCTION BudgetedPlan ModelPruner::plan(Criterion criterion, ModelBudget& budget) {
  const PruningPlan even = budget.even_plan();
  const double rate = static_cast<double>(even.requested) / static_cast<double>(even.total());
  return budget.plan(rankings(criterion, rate));
}

VBP_FUNCTION CompensatedModel ModelPruner::apply(const PruningPlan& plan, Compensation compensation) {
  CompensatedModel result{.model = dense_};
  switch (compensation) {
    case Compensation::none:
      shrink_blocks(plan, result.model.mlps());
      break;
    case Compensation::mean_shift:
      fold_and_shrink_blocks(plan, calibration_.calibration.statistics, result.model.mlps());
      break;
    case Compensation::refit:
      result.layers = detail::refit_each_block(plan, calibration_, result.model, context_);
      break;
    case Compensation::sequential:
    case Compensation::sequential_attention:
    case Compensation::sequential_all:
      result.layers = detail::refit_sequentially(plan, compensation, batch_, dense_, calibration_,
                                                 result.model, context_);
      break;
  }
  return result;
}

VBP_FUNCTION PruneResult prune(AnyModel& model, const ImageSource& images, const PruneOptions& options,
                               Context context) {
  require_prune_options(options);
  const bool labels = images.size() > 0 && images.label(0) >= 0;
  const Method method = resolve_method(options, {.images = true, .labels = labels, .covariances = true});
  ModelBudget budget(options, model, context);
  // A budget that cannot be met is told before the long work.
  budget.even_plan();
  const CalibrationResult calibration = calibrate(model, images,
                                                  {.covariances = method.needs_covariance(),
                                                   .residual_stream = method.needs_covariance(),
                                                   .gradient = method.needs_labels(),
                                                   .memory = options.memory,
                                                   .batch = options.batch,
                                                   .strict = options.strict},
                                                  context);
  return detail::prune_calibrated(model, calibration, method, budget, options.batch, context);
}

VBP_FUNCTION PruneResult prune(AnyModel& model, const CalibrationResult& calibration,
                               const PruneOptions& options, Context context) {
  require_prune_options(options);
  const Method method = resolve_method(options, {.images = calibration.residual_stream.rows() > 0,
                                                 .labels = !calibration.gradient.empty(),
                                                 .covariances = calibration.has_covariances()});
  ModelBudget budget(options, model, context);
  return detail::prune_calibrated(model, calibration, method, budget, options.batch, context);
}

VBP_FUNCTION PruneResult prune(AnyModel& model, const std::filesystem::path& statistics,
                               const PruneOptions& options, Context context) {
  require_prune_options(options);
  const CalibrationResult calibration =
      load_statistics(model, statistics, {.residual_stream = true, .memory = options.memory});
  return prune(model, calibration, options, std::move(context));
}

}  // namespace vbp::inline VBP_ABI
