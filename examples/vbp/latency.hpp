#pragma once
/// How long a model takes at which hidden widths, measured on this machine and remembered.

#include "common.hpp"
#include "vbp/prune/latency.hpp"
#include "vbp/prune/plan.hpp"

namespace tool {

/// The latency of one model over the hidden widths of its blocks.
class LatencyModel {
 public:
  /// Measures at a few widths, or takes what an earlier run has measured on this machine for this shape of
  /// model, batch and number of threads. The dense model is measured in any case: machines change their
  /// speed, what a width saves of it hardly.
  LatencyModel(const vbp::VitCheckpoint& dense, const RunOptions& run, vbp::Index batch);

  double dense_ms() const noexcept { return dense_ms_; }
  /// Time of a block at a width; of all blocks together the latency as a share of the dense model's.
  double block_share(vbp::Index width) const noexcept;
  double share(const vbp::PruningPlan& plan) const;

 private:
  vbp::LatencyCurve curve_;  ///< the model's latency with all blocks this wide, relative to the dense one
  double blocks_ = 1.0;
  double dense_ms_ = 0.0;
};

}  // namespace tool
