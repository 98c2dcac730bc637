#pragma once
/// Pruning a model of any family, as `vbp prune` does it:
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

/// How much is pruned, where, and how. Exactly one of the first five says how much.
struct PruneOptions {
  std::optional<double> rate = std::nullopt;           ///< share of all hidden neurons to remove, in [0, 1)
  std::optional<Index> kept = std::nullopt;            ///< hidden neurons that stay in all
  std::optional<double> macs = std::nullopt;           ///< share of the MACs to keep at most, in (0, 1]
  std::optional<double> parameters = std::nullopt;     ///< share of the parameters to keep at most, in (0, 1]
  std::optional<LatencyLimit> latency = std::nullopt;  ///< measured on this machine; Vision Transformers only

  Scope scope = Scope::global;                    ///< where neurons compete
  Index min_width = 16;                           ///< no block is cut below this width
  std::optional<Index> max_width = std::nullopt;  ///< no block stays wider
  Index multiple = 1;                             ///< a block that is cut is cut to a multiple of this
  std::vector<std::string> exclude = {};          ///< names of blocks that keep everything

  /// The best that the inputs allow where there is none: with images greedy and sequential_all, with
  /// covariances alone greedy and refit, else variance and mean_shift.
  std::optional<Criterion> criterion = std::nullopt;
  std::optional<Compensation> compensation = std::nullopt;

  LatencyTableOptions latency_table = {};  ///< of `latency`
  MemoryLimit memory = {};                 ///< for covariances and residual streams
  Index batch = 32;                        ///< images that go through the model together
  bool strict = false;                     ///< stop at the first image that cannot be decoded
};

/// Throws ValueError for options that make no sense for any network.
VBP_FUNCTION void require_options(const PruneOptions& options);

/// What a pruning can draw on beside means and variances.
struct PruneInputs {
  bool images = false;
  bool labels = false;
  bool covariances = false;
};

/// A criterion or compensation needs an input that is not there.
class MissingInputError : public ValueError {
 public:
  enum class Input { images, labels, covariances };

  MissingInputError(const std::string& message, Input input) : ValueError(message), input_(input) {}

  Input input() const noexcept { return input_; }

 private:
  Input input_;
};

/// What the options ask for, and for the rest the best that the inputs allow. Throws MissingInputError.
VBP_FUNCTION Method resolve_method(const PruneOptions& options, const PruneInputs& inputs);

/// How a budget was met that is no count of neurons.
struct ReachedBudget {
  std::string of;        ///< "MACs", "parameters" or "latency"
  double share = 0.0;    ///< of the dense model's, asked for at most
  double reached = 0.0;  ///< and what the plan comes to
};

struct BudgetedPlan {
  PruningPlan plan;
  std::optional<ReachedBudget> budget = std::nullopt;
};

/// The budget of PruneOptions for one model, which must live as long.
class ModelBudget {
 public:
  /// With a latency budget it measures the model, or reads what an earlier run has measured. Throws
  /// ValueError for options out of range, and as the constructor of LatencyModel does.
  VBP_FUNCTION ModelBudget(const PruneOptions& options, const AnyModel& model, Context context = {});

  /// The plan for neurons that are all worth the same, without measuring any plan: it tells, without
  /// statistics, that a budget cannot be met. Throws ValueError then.
  VBP_FUNCTION PruningPlan even_plan() const;
  /// The plan within the budget. Throws ValueError if it cannot be met.
  VBP_FUNCTION BudgetedPlan plan(const std::vector<Ranking>& rankings);

 private:
  std::vector<std::string> names_;
  std::vector<Index> widths_;
  PrunerOptions options_;
  std::optional<Resource> resource_;
  std::optional<LatencyModel> latency_;
  double share_ = 1.0;
  double unit_ = 1.0;      ///< the dense model's latency in the unit that was asked for
  std::string unit_name_;  ///< stands behind numbers in messages
};

/// What a compensation did to one layer: mean squared errors as a share of the target's variance. Of a refit
/// `before` is with the mean shift alone; of a sequential one see SequentialStep.
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

/// Plans and compensated models from one calibration; rankings are computed once for each criterion. Model
/// and calibration must live as long.
class ModelPruner {
 public:
  /// `batch` is the number of images that a sequential refit takes together.
  ModelPruner(const AnyModel& dense, const CalibrationResult& calibration, Index batch = 32,
              Context context = {})
      : dense_(dense), calibration_(calibration), batch_(batch), context_(std::move(context)) {}

  /// Throws ValueError if the calibration lacks what the criterion needs or the budget cannot be met.
  VBP_FUNCTION BudgetedPlan plan(Criterion criterion, ModelBudget& budget);
  /// The dense model cut to the plan. Throws ValueError if the calibration lacks what the compensation needs,
  /// and Cancelled.
  VBP_FUNCTION CompensatedModel apply(const PruningPlan& plan, Compensation compensation);

 private:
  VBP_FUNCTION const std::vector<Ranking>& rankings(Criterion criterion, double rate);

  const AnyModel& dense_;
  const CalibrationResult& calibration_;
  Index batch_;
  Context context_;
  std::map<std::string, std::vector<Ranking>> rankings_;
};

/// What was done.
struct PruneReport {
  Method method = {};
  Index calibration_images = 0;
  std::optional<ReachedBudget> budget = std::nullopt;  ///< none where the budget is a count of neurons
  std::vector<CompensatedLayer> compensated = {};
  SkippedImages skipped = {};
  std::optional<MemoryUse> memory = std::nullopt;  ///< none without a memory limit
};

struct PruneResult {
  PruningPlan plan;  ///< which neurons stay
  PruneReport report;
};

/// Calibrates the model on the images, prunes it and compensates: `vbp prune --calibrate`. `images` need
/// labels for Criterion::snip only. The model changes when everything has succeeded. Throws ValueError for
/// options out of range or out of reach, MissingInputError, MemoryLimitError, FileError and Cancelled.
VBP_FUNCTION PruneResult prune(AnyModel& model, const ImageSource& images, const PruneOptions& options = {},
                               Context context = {});

/// The same by what a calibration has gathered: `vbp prune --statistics`.
VBP_FUNCTION PruneResult prune(AnyModel& model, const CalibrationResult& calibration,
                               const PruneOptions& options = {}, Context context = {});

/// The same by a calibration file.
VBP_FUNCTION PruneResult prune(AnyModel& model, const std::filesystem::path& statistics,
                               const PruneOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/prune-inl.hpp"
#endif
