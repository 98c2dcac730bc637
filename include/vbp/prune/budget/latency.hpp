#pragma once
/// Budgets in time: the widths that lose least within a limit of the blocks' measured times.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/budget/removals.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/plan.hpp"

namespace vbp::inline VBP_ABI {

/// Time over hidden width, measured at one or more widths: linear between them, constant beyond. Widths
/// ascend, with one time each.
struct LatencyCurve {
  std::vector<Index> widths;
  std::vector<double> times;

  VBP_FUNCTION double operator()(Index width) const noexcept;
};

/// A cut with the time that the block takes after it.
struct TimedCut {
  Cut cut;
  double time = 0.0;
};

/// One cut per block, of least summed cost within a limit of the summed time; nothing where no choice keeps
/// the limit. Of equal costs the faster choice is taken.
///
/// Dynamic programming over (blocks, time): neither measured times nor costs are convex in the width, so that
/// a Lagrangian's convex hull may miss the limit by a whole segment. Choices whose times fall into the same
/// 1/20000 of what the cuts can save share a state, which keeps the cheapest with its exact time: the limit
/// holds exactly, and at most one such unit a block is given away. The states do not depend on the limit, so
/// that the choice's own time as the limit gives the same choice.
VBP_FUNCTION std::optional<std::vector<Index>> cheapest_within(const std::vector<std::vector<TimedCut>>& cuts,
                                                               double limit);

/// What a block takes at a hidden width, in any unit of time.
using BlockTime = std::function<double(std::size_t block, Index width)>;

/// What all blocks take together when pruned like this, in the unit of BlockTime.
using PlanTime = std::function<double(const PruningPlan& plan)>;

/// The plan of least summed cost whose blocks take at most `limit` together. `unit` follows numbers in
/// messages. Scope global; rate and kept are ignored. Throws ValueError, naming the least time, where the
/// options allow no plan within the limit, and as plan_from_rankings does.
VBP_FUNCTION PruningPlan plan_within_time(const std::vector<std::string>& names,
                                          const std::vector<Ranking>& rankings, const BlockTime& time,
                                          double limit, PrunerOptions options, const std::string& unit = "");

/// A plan, and what its blocks are predicted to take together.
struct TimedPlan {
  PruningPlan plan;
  double time = 0.0;
};

/// The same with predictions corrected by measurements of whole plans. Where a plan's measured time is more
/// than 2 % off, the time that every cut saves is scaled by the one factor that makes the prediction the
/// measured time, and the next plan is made, until three plans have been measured. The result depends only on
/// the measured times of the plans on the way: remembered times give the same result again.
VBP_FUNCTION TimedPlan plan_within_measured_time(const std::vector<std::string>& names,
                                                 const std::vector<Ranking>& rankings, const BlockTime& time,
                                                 const PlanTime& measure, double limit,
                                                 const PrunerOptions& options, const std::string& unit = "");

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/budget/latency-inl.hpp"
#endif
