#pragma once
/// How long a model takes at which hidden widths, measured on this machine and remembered.

#include "common.hpp"
#include "vbp/prune/latency.hpp"
#include "vbp/prune/plan.hpp"

namespace tool {

/// What a table of latencies is measured for, and where it lies.
struct LatencyOptions {
  std::string limit;  ///< a share of the dense model's latency, or milliseconds
  vbp::Index batch = 1;
  std::string table;   ///< empty: below the user's cache folder
  bool fresh = false;  ///< measure whatever is remembered
};

/// The latency of one model over the hidden widths of its blocks.
class LatencyModel {
 public:
  /// Measures at a few widths, or takes what an earlier run has measured on this machine for this shape of
  /// model, batch and number of threads. Throws ValueError for a family whose blocks are not all alike, and
  /// FileError where a table that the user named is of something else or cannot be written; the cache is
  /// measured again instead, or done without.
  LatencyModel(const Model& dense, const RunOptions& run, const LatencyOptions& options);

  /// Milliseconds of the dense model when the table was made.
  double dense_ms() const noexcept { return dense_ms_; }
  /// Time of a block at a width; of all blocks together the latency as a share of the dense model's.
  double block_share(vbp::Index width) const noexcept;
  double share(const vbp::PruningPlan& plan) const;

 private:
  vbp::LatencyCurve curve_;  ///< the model's latency with all blocks this wide, as a share of the dense one's
  double blocks_ = 1.0;
  double dense_ms_ = 0.0;
};

}  // namespace tool
