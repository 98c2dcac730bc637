#pragma once
/// Criteria and compensations by name, and what each needs to be known.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common.hpp"
#include "vbp/prune/pruner.hpp"
#include "vbp/prune/ranking.hpp"

namespace tool {

/// How neurons are chosen and how the rest makes up for them.
struct Method {
  std::string criterion;
  std::string compensation;

  /// vbp, ob2c, dvbp+ob2c where it is one of these, else "criterion + compensation".
  std::string name() const;
  bool needs_covariance() const;
  bool needs_images() const;
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

/// One compensated model, and what its compensation did.
struct Compensated {
  vbp::VitCheckpoint checkpoint;
  Json steps = Json::array();
};

/// Plans and compensations of one model from one calibration. Rankings are computed once a criterion.
class Compressor {
 public:
  Compressor(const vbp::VitCheckpoint& dense, const CalibrationRun& calibration, const RunOptions& run)
      : dense_(dense), calibration_(calibration), run_(run) {}

  /// The order in which each block gives up its neurons under a criterion, costs comparable between blocks.
  const std::vector<vbp::Ranking>& rankings(const std::string& criterion, double rate);

  vbp::PruningPlan plan(const std::string& criterion, const vbp::PrunerOptions& options);
  Compensated apply(const vbp::PruningPlan& plan, const std::string& compensation);

 private:
  std::vector<vbp::Ranking> rank(const std::string& criterion, double rate);
  std::vector<double> sensitivities(const std::vector<vbp::Ranking>& rankings);

  const vbp::VitCheckpoint& dense_;
  const CalibrationRun& calibration_;
  RunOptions run_;
  std::map<std::string, std::vector<vbp::Ranking>> rankings_;
};

}  // namespace tool
