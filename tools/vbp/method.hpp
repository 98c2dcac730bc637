#pragma once
/// Criteria and compensations by name, and what each needs to be known.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common.hpp"
#include "latency.hpp"
#include "vbp/prune/budget/resource.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/pruner.hpp"

namespace tool {

/// How neurons are chosen and how the rest makes up for them.
struct Method {
  std::string criterion;
  std::string compensation;

  /// vbp, ob2c, dvbp+ob2c where it is one of these, else "criterion + compensation".
  std::string name() const;
  bool needs_covariance() const;
  bool needs_images() const;
  bool needs_labels() const;
  bool operator==(const Method&) const = default;
};

extern const std::vector<std::string> criteria;
extern const std::vector<std::string> compensations;

/// --method, --criterion, --compensation.
struct MethodOptions {
  std::string method;
  std::string criterion;
  std::string compensation;

  void add_to(CLI::App& app);
  /// What was asked for, the rest the best that the inputs allow. Throws ValueError, naming the option that
  /// is missing, where they do not.
  Method resolve(bool images, bool covariances) const;
};

/// Where the hidden activations are known from: --calibrate with --limit, or --statistics.
struct CalibrationOptions {
  std::string calibrate;
  std::string statistics;
  std::optional<vbp::Index> limit;

  void add_to(CLI::App& app);
  /// Throws UsageError where neither is given.
  void require() const;
};

/// How much is pruned: --rate, --keep, --macs, --parameters or --latency, and what constrains it.
struct BudgetOptions {
  vbp::PrunerOptions pruner;
  LatencyOptions latency;
  std::optional<double> macs;
  std::optional<double> parameters;
  std::string scope = "global";

  void add_to(CLI::App& app);
};

/// A plan, and what it comes to beside what was asked for; nothing where that is a count of neurons.
struct Budgeted {
  vbp::PruningPlan plan;
  Json reached = {};
};

/// The same for one model.
class Budget {
 public:
  /// Throws UsageError where nothing is asked for and ValueError for what makes no sense for any network.
  static void require(const BudgetOptions& options);
  /// With --latency it needs the model's latencies, which must live as long.
  Budget(const BudgetOptions& options, const Model& model, LatencyModel* latency = nullptr);

  const vbp::PrunerOptions& options() const noexcept { return options_; }
  /// The plan that all neurons being equal gives, without measuring any, so that a budget that cannot be met
  /// is known without any statistics.
  vbp::PruningPlan even_plan() const;
  /// The plan within the budget.
  Budgeted plan(const std::vector<vbp::Ranking>& rankings) const;

 private:
  auto block_time() const {
    return [this](std::size_t, vbp::Index width) { return unit_ * latency_->block_share(width); };
  }

  std::vector<std::string> names_;
  std::vector<vbp::Index> widths_;
  vbp::PrunerOptions options_;
  std::optional<vbp::Resource> resource_;
  LatencyModel* latency_;
  double share_ = 1.0;
  double unit_ = 1.0;      ///< of latencies: what the dense model's is in it
  std::string unit_name_;  ///< behind numbers
};

/// One compensated model, and what its compensation did.
struct Compensated {
  Checkpoint checkpoint;
  Json steps = Json::array();
};

/// Plans and compensations of one model from one calibration. Rankings are computed once a criterion.
class Compressor {
 public:
  Compressor(const Checkpoint& dense, const CalibrationRun& calibration, const RunOptions& run)
      : dense_(dense), calibration_(calibration), run_(run) {}

  /// The order in which each block gives up its neurons under a criterion, costs comparable between blocks.
  const std::vector<vbp::Ranking>& rankings(const std::string& criterion, double rate);

  Budgeted plan(const std::string& criterion, const Budget& budget);
  Compensated apply(const vbp::PruningPlan& plan, const std::string& compensation);

 private:
  /// Blocks that may be ranked at the same time.
  int workers() const;
  std::vector<vbp::Ranking> rank(const std::string& criterion, double rate);
  std::vector<double> sensitivities(const std::vector<vbp::Ranking>& rankings);

  const Checkpoint& dense_;
  const CalibrationRun& calibration_;
  RunOptions run_;
  std::map<std::string, std::vector<vbp::Ranking>> rankings_;
};

}  // namespace tool
