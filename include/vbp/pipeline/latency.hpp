#pragma once
/// Measures the latency of models on this machine, and uses latency as a budget:
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

/// The minimum and median of the times of several runs. Sorts `milliseconds`.
VBP_FUNCTION Latency latency_of(std::vector<double>& milliseconds);

/// Random images for measurements, [count, elements]. The time does not depend on the pixels.
VBP_FUNCTION Matrix<float> random_images(Index count, Index elements);

/// The latencies of two models whose runs alternated.
struct LatencyComparison {
  Latency dense;
  Latency pruned;
  /// The median, over all pairs of runs, of the pruned model's time divided by the dense model's time. A
  /// disturbance that lasts longer than a pair of runs is in both times and does not change the ratio.
  double ratio = 1.0;
};

struct MeasureOptions {
  Index batch = 1;
  /// The longest time to measure. The default is long enough for a report. Use kDecisiveMeasurement if a
  /// decision depends on the ratio.
  std::chrono::seconds limit = std::chrono::seconds(1);
};

/// The longest time to measure if a decision depends on the ratio.
inline constexpr std::chrono::seconds kDecisiveMeasurement(10);

/// Runs both models alternately until the ratio is known to 1 % or the time is over, but at least five times
/// each. Throws Cancelled.
VBP_FUNCTION LatencyComparison measure_latency(const AnyModel& dense, const AnyModel& pruned,
                                               const MeasureOptions& options = {}, Context context = {});

/// The largest latency of a pruned model: a share of the dense model's latency, or milliseconds.
struct LatencyLimit {
  double value = 1.0;
  bool milliseconds = false;
};

/// How a table of latencies is measured, and where it is stored.
struct LatencyTableOptions {
  Index batch = 1;
  /// The file of the table. If it is empty, a file in the user's cache folder is used.
  std::filesystem::path file = {};
  bool remeasure = false;  ///< measure again, even if the file has a table
};

/// The measured latencies of one model, as shares of the dense model's latency.
struct LatencyTable {
  double dense_ms = 0.0;
  std::vector<Index> widths = {};                   ///< measured widths, each the same in all blocks
  std::vector<double> shares = {};                  ///< latency at these widths
  std::map<std::vector<Index>, double> plans = {};  ///< latency by the widths of all blocks
};

/// Predicts the latency of one model from the hidden widths of its blocks. The measurements on this machine
/// are stored in a file.
class LatencyModel {
 public:
  /// Measures the model at a few widths, or reads what an earlier run has measured on this machine for the
  /// same shape of model, batch size and number of threads. Throws ValueError for a family whose blocks are
  /// not all alike. Throws FileError if a file that the caller named belongs to another model or setting, or
  /// cannot be written. A damaged file in the cache folder is measured again. If the cache folder cannot be
  /// written to, nothing is stored. `dense` must outlive the object.
  VBP_FUNCTION LatencyModel(const AnyModel& dense, LatencyTableOptions options, Context context = {});

  /// Latency of the dense model in milliseconds, from the time when the table was measured.
  double dense_ms() const noexcept { return table_.dense_ms; }
  /// The share of a block with this width. The sum over all blocks is the model's latency divided by the
  /// dense model's latency.
  VBP_FUNCTION double block_share(Index width) const;
  /// The latency of a plan divided by the dense model's latency. Measures it, unless an earlier run has done
  /// so.
  VBP_FUNCTION double measured_share(const PruningPlan& plan);

 private:
  VBP_FUNCTION void write() const;

  const AnyModel& dense_;
  LatencyTableOptions options_;
  Context context_;
  std::string key_;             ///< JSON with everything that the times depend on
  std::filesystem::path file_;  ///< empty if nothing is stored
  LatencyTable table_;
  LatencyCurve curve_;  ///< share of the dense model's latency if all blocks have this width
  double blocks_ = 1.0;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/latency-inl.hpp"
#endif
