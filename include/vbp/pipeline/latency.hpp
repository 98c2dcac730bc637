#pragma once
/// How long models take on this machine, and latency as a budget:
///
///     vbp::LatencyComparison times = vbp::measure_latency(dense, pruned);
///     std::cout << times.pruned.median << " ms, " << 1 / times.ratio << "x faster\n";

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/prune/budget/latency.hpp"
#include "vbp/prune/plan.hpp"

namespace vbp::inline VBP_ABI {

/// Milliseconds of a forward pass.
struct Latency {
  double minimum = 0.0;
  double median = 0.0;
};

/// The latency of several runs, whose times it sorts.
VBP_FUNCTION Latency latency_of(std::vector<double>& milliseconds);

/// Images to measure on, [count, elements]: the values of pixels change no time.
VBP_FUNCTION Matrix<float> random_images(Index count, Index elements);

/// Two models that ran in turn.
struct LatencyComparison {
  Latency dense;
  Latency pruned;
  /// The median over all turns of the pruned model's time over the dense one's: what disturbs the machine or
  /// changes its speed for longer than a turn is in both times.
  double ratio = 1.0;
};

struct MeasureOptions {
  Index batch = 1;
  /// The longest time to measure: enough for a number that people read. A decision is worth
  /// kDecisiveMeasurement.
  std::chrono::seconds limit = std::chrono::seconds(1);
};

/// How long to measure at most where something is decided by the ratio.
inline constexpr std::chrono::seconds kDecisiveMeasurement(10);

/// Runs both models in turn until the ratio is known to 1 % or the time is over, but at least five turns.
/// Throws Cancelled.
VBP_FUNCTION LatencyComparison measure_latency(const AnyModel& dense, const AnyModel& pruned,
                                               const MeasureOptions& options = {}, Context context = {});

/// The latency that a pruned model may have: a share of the dense model's, or milliseconds.
struct LatencyLimit {
  double value = 1.0;
  bool milliseconds = false;
};

/// What a table of latencies is measured for, and where it is kept.
struct LatencyTableOptions {
  Index batch = 1;
  /// The table's file; one in the user's cache folder where there is none.
  std::filesystem::path file = {};
  bool remeasure = false;  ///< measure whatever the file holds
};

/// What was measured of one model. Shares are of the dense model's latency.
struct LatencyTable {
  double dense_ms = 0.0;
  std::vector<Index> widths = {};                   ///< of all blocks at once
  std::vector<double> shares = {};                  ///< at these widths
  std::map<std::vector<Index>, double> plans = {};  ///< by the widths of all blocks
};

/// The latency of one model over the hidden widths of its blocks, measured on this machine and remembered.
class LatencyModel {
 public:
  /// Measures at a few widths, or takes what an earlier run has measured on this machine for this shape of
  /// model, batch and number of threads. Throws ValueError for a family whose blocks are not all alike, and
  /// FileError if a file that the caller named is of something else or cannot be written. A cache that is
  /// broken is measured again; one that cannot be written is done without. The dense model must live as long.
  VBP_FUNCTION LatencyModel(const AnyModel& dense, LatencyTableOptions options, Context context = {});

  /// Milliseconds of the dense model when the table was measured.
  double dense_ms() const noexcept { return table_.dense_ms; }
  /// Time of a block at a width: the shares of all blocks together are the latency as a share of the dense
  /// model's.
  VBP_FUNCTION double block_share(Index width) const;
  /// The latency of a plan as a share of the dense model's, as measured now or by an earlier run.
  VBP_FUNCTION double measured_share(const PruningPlan& plan);

 private:
  VBP_FUNCTION void write() const;

  const AnyModel& dense_;
  LatencyTableOptions options_;
  Context context_;
  std::string key_;             ///< JSON; everything that the times depend on
  std::filesystem::path file_;  ///< empty where nothing is remembered
  LatencyTable table_;
  LatencyCurve curve_;  ///< with all blocks this wide, as a share of the dense model's latency
  double blocks_ = 1.0;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/latency-inl.hpp"
#endif
