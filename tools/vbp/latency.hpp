#pragma once
/// How long a model takes at which hidden widths, measured on this machine and remembered.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common.hpp"
#include "vbp/prune/budget/latency.hpp"
#include "vbp/prune/plan.hpp"

namespace tool {

/// What a table of latencies is measured for, and where it lies.
struct LatencyOptions {
  std::string limit;  ///< a share of the dense model's latency, or milliseconds
  vbp::Index batch = 1;
  std::string table;   ///< empty: below the user's cache folder
  bool fresh = false;  ///< measure whatever is remembered
};

/// What was measured of one model; shares are of the dense model's latency.
struct LatencyTable {
  double dense_ms = 0.0;
  std::vector<vbp::Index> widths = {};                   ///< of all blocks at once
  std::vector<double> shares = {};                       ///< of these
  std::map<std::vector<vbp::Index>, double> plans = {};  ///< of the widths of all blocks
};

/// The latency of one model over the hidden widths of its blocks.
class LatencyModel {
 public:
  /// Measures at a few widths, or takes what an earlier run has measured on this machine for this shape of
  /// model, batch and number of threads. Throws ValueError for a family whose blocks are not all alike, and
  /// FileError where a table that the user named is of something else or cannot be written; the cache is
  /// measured again instead, or done without. The dense model must live as long.
  LatencyModel(const Model& dense, const RunOptions& run, const LatencyOptions& options);

  /// Milliseconds of the dense model when the table was made.
  double dense_ms() const noexcept { return table_.dense_ms; }
  /// Time of a block at a width; of all blocks together the latency as a share of the dense model's.
  double block_share(vbp::Index width) const noexcept;
  /// The same of a plan, as measured, now or in an earlier run.
  double measured_share(const vbp::PruningPlan& plan);

 private:
  void write() const;

  const Model& dense_;
  RunOptions run_;
  LatencyOptions options_;
  Json key_;                    ///< everything that the times depend on
  std::filesystem::path file_;  ///< empty where nothing is remembered
  LatencyTable table_;
  vbp::LatencyCurve curve_;  ///< the model's latency with all blocks this wide, as a share of the dense one's
  double blocks_ = 1.0;
};

}  // namespace tool
