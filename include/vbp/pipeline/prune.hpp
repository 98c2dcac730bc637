#pragma once
/// Prunes a model of any family, as `vbp prune` does:
///
///     vbp::AnyModel model = vbp::load_model("vit.safetensors");
///     vbp::ImageSource images = vbp::image_folder("train/");  // vbp/pipeline/image_folder.hpp
///     vbp::PruneResult result = vbp::prune(model, images, {.rate = 0.5});
///     vbp::save_model("pruned.safetensors", model);
///     std::cout << result.report.method.name() << ": " << result.plan.removed() << " neurons removed\n";

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/calibrate.hpp"
#include "vbp/pipeline/image_source.hpp"
#include "vbp/pipeline/latency.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/budget/resource.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/method.hpp"
#include "vbp/prune/plan.hpp"

namespace vbp::inline VBP_ABI {

/// How much is pruned, where, and how. Exactly one of the first five options must be set. It says how much.
struct PruneOptions {
  std::optional<double> rate = std::nullopt;        ///< share of all hidden neurons to remove, in [0, 1)
  std::optional<Index> kept = std::nullopt;         ///< number of hidden neurons that stay, over all blocks
  std::optional<double> macs = std::nullopt;        ///< share of the MACs that may stay, in (0, 1]
  std::optional<double> parameters = std::nullopt;  ///< share of the parameters that may stay, in (0, 1]
  std::optional<LatencyLimit> latency = std::nullopt;  ///< on this machine; for Vision Transformers only

  Scope scope = Scope::global;                    ///< where neurons compete
  Index min_width = 16;                           ///< no block becomes narrower than this
  std::optional<Index> max_width = std::nullopt;  ///< no block stays wider than this
  Index multiple = 1;                             ///< the width of every pruned block is a multiple of this
  std::vector<std::string> exclude = {};          ///< names of blocks that are not pruned

  /// Without a value, criterion and compensation are the best that the inputs allow: with images greedy and
  /// sequential_all, with covariances but no images greedy and refit, otherwise variance and mean_shift.
  std::optional<Criterion> criterion = std::nullopt;
  std::optional<Compensation> compensation = std::nullopt;

  LatencyTableOptions latency_table = {};  ///< table for the option `latency`
  MemoryLimit memory = {};                 ///< for covariances and residual streams
  Index batch = 32;                        ///< images that go through the model together
  bool strict = false;                     ///< stop at the first image that cannot be decoded
};

/// Throws ValueError for options that are invalid for every network.
VBP_FUNCTION void require_prune_options(const PruneOptions& options);

/// The inputs of a pruning beside means and variances.
struct PruneInputs {
  bool images = false;
  bool labels = false;
  bool covariances = false;
};

/// A criterion or compensation needs an input that is missing.
class MissingInputError : public ValueError {
 public:
  enum class Input { images, labels, covariances };

  MissingInputError(const std::string& message, Input input) : ValueError(message), input_(input) {}

  Input input() const noexcept { return input_; }

 private:
  Input input_;
};

/// The criterion and compensation of the options. What they do not set becomes the best that the inputs
/// allow. Throws MissingInputError.
VBP_FUNCTION Method resolve_method(const PruneOptions& options, const PruneInputs& inputs);

/// How well a plan meets a budget in MACs, parameters or latency.
struct ReachedBudget {
  std::string of;        ///< "MACs", "parameters" or "latency"
  double share = 0.0;    ///< the budget, as a share of the dense model's amount
  double reached = 0.0;  ///< share of the dense model's amount that the plan leaves
};

struct BudgetedPlan {
  PruningPlan plan;
  std::optional<ReachedBudget> budget = std::nullopt;
};

/// The budget of PruneOptions for one model, which must outlive the object.
class ModelBudget {
 public:
  /// With a latency budget, it measures the model or reads what an earlier run has measured. Throws
  /// ValueError for options out of range, and whatever the constructor of LatencyModel throws.
  VBP_FUNCTION ModelBudget(const PruneOptions& options, const AnyModel& model, Context context = {});

  /// The plan for neurons that all have the same cost. It needs no statistics and measures no plan, so it
  /// shows early whether the budget can be met. Throws ValueError if it cannot.
  VBP_FUNCTION PruningPlan even_plan() const;
  /// The plan within the budget. Throws ValueError if the budget cannot be met.
  VBP_FUNCTION BudgetedPlan plan(const std::vector<Ranking>& rankings);

 private:
  std::vector<std::string> names_;
  std::vector<Index> widths_;
  PrunerOptions options_;
  std::optional<Resource> resource_;
  std::optional<LatencyModel> latency_;
  double share_ = 1.0;
  double unit_ = 1.0;      ///< the dense model's latency in the unit of the budget
  std::string unit_name_;  ///< written after numbers in messages
};

/// The effect of a compensation on one layer. Errors are mean squared errors divided by the target's
/// variance. For a refit, `before` is the error with mean shift only. For a sequential refit see
/// SequentialStep.
struct CompensatedLayer {
  std::string name;
  double before = 0.0;
  double after = 0.0;
  double shrinkage = 0.0;
  int first_layer_steps = 0;
};

struct CompensatedModel {
  AnyModel model;
  std::vector<CompensatedLayer> layers = {};
};

/// Makes plans and compensated models from one calibration. Computes the rankings of a criterion only once.
/// The model and the calibration must outlive the object.
class ModelPruner {
 public:
  /// `batch` is the number of images that a sequential refit puts through the model together.
  ModelPruner(const AnyModel& dense, const CalibrationResult& calibration, Index batch = 32,
              Context context = {})
      : dense_(dense), calibration_(calibration), batch_(batch), context_(std::move(context)) {}

  /// The plan for one criterion. Throws ValueError if the calibration lacks what the criterion needs or the
  /// budget cannot be met.
  VBP_FUNCTION BudgetedPlan plan(Criterion criterion, ModelBudget& budget);
  /// A copy of the dense model, pruned by the plan and compensated. Throws ValueError if the calibration
  /// lacks what the compensation needs, and Cancelled.
  VBP_FUNCTION CompensatedModel apply(const PruningPlan& plan, Compensation compensation);

 private:
  VBP_FUNCTION const std::vector<Ranking>& rankings(Criterion criterion, double rate);

  const AnyModel& dense_;
  const CalibrationResult& calibration_;
  Index batch_;
  Context context_;
  std::map<std::string, std::vector<Ranking>> rankings_;
};

/// What prune() has done.
struct PruneReport {
  Method method = {};
  Index calibration_images = 0;
  std::optional<ReachedBudget> budget = std::nullopt;  ///< no value for a budget in neurons
  std::vector<CompensatedLayer> compensated = {};
  SkippedImages skipped = {};
  std::optional<MemoryUse> memory = std::nullopt;  ///< no value without a memory limit
};

struct PruneResult {
  PruningPlan plan;  ///< which neurons stay
  PruneReport report;
};

/// Calibrates the model on the images, prunes it and compensates, as `vbp prune --calibrate` does. Only
/// Criterion::snip needs labels. If an error is thrown, the model is unchanged. Throws ValueError for options
/// that are out of range or cannot be met, MissingInputError, MemoryLimitError, FileError and Cancelled.
VBP_FUNCTION PruneResult prune(AnyModel& model, const ImageSource& images, const PruneOptions& options = {},
                               Context context = {});

/// The same with the result of a calibration, as `vbp prune --statistics` does.
VBP_FUNCTION PruneResult prune(AnyModel& model, const CalibrationResult& calibration,
                               const PruneOptions& options = {}, Context context = {});

/// The same with a calibration file.
VBP_FUNCTION PruneResult prune(AnyModel& model, const std::filesystem::path& statistics,
                               const PruneOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/prune-inl.hpp"
#endif
