#pragma once
/// Budgets in time: the widths that lose least for what the blocks are measured to take.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/budget/budget.hpp"
#include "vbp/prune/budget/options.hpp"
#include "vbp/prune/budget/widths.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"

namespace vbp::inline VBP_ABI {

/// Time over hidden width, measured at a few widths, one at least: linear between them, level beyond.
/// Widths ascend, one time each.
struct LatencyCurve {
  std::vector<Index> widths;
  std::vector<double> times;

  double operator()(Index width) const noexcept {
    const auto above = std::lower_bound(widths.begin(), widths.end(), width) - widths.begin();
    const auto i = static_cast<std::size_t>(above);
    if (i == 0) return times.front();
    if (i == widths.size()) return times.back();
    const double share =
        static_cast<double>(width - widths[i - 1]) / static_cast<double>(widths[i] - widths[i - 1]);
    return times[i - 1] + share * (times[i] - times[i - 1]);
  }
};

/// A cut with the time that the block takes after it.
struct TimedCut {
  Cut cut;
  double time = 0.0;
};

namespace detail {

inline bool faster(const TimedCut& a, const TimedCut& b) noexcept {
  return a.time < b.time;
}

}  // namespace detail

/// One cut per block, of least summed cost within a limit of the summed time; nothing where no choice keeps
/// to it. Of equal costs a faster choice is taken.
///
/// Dynamic programming over (blocks, time), since neither measured times nor costs are convex in the width,
/// and the hull that a Lagrangian walks may miss the limit by a whole segment. Choices whose times fall into
/// the same 1/20000 of what the cuts can save share a state, which the cheapest keeps with its exact time:
/// the limit holds exactly, and at most such a unit a block is given away. The states do not depend on the
/// limit, so that a choice is found again under the time that it takes.
inline std::optional<std::vector<Index>> cheapest_within(const std::vector<std::vector<TimedCut>>& cuts,
                                                         double limit) {
  constexpr double kUnits = 20000.0;
  constexpr double kUnreachable = std::numeric_limits<double>::infinity();
  std::vector<double> fastest;
  double least = 0.0, range = 0.0;
  for (const std::vector<TimedCut>& block : cuts) {
    if (block.empty()) return std::nullopt;
    const auto [low, high] = std::minmax_element(block.begin(), block.end(), detail::faster);
    fastest.push_back(low->time);
    least += low->time;
    range += high->time - low->time;
  }

  /// What a choice for the blocks so far costs, and its time beyond the fastest.
  struct State {
    double cost = kUnreachable;
    double extra = 0.0;
  };
  struct Step {
    std::uint32_t from = 0;
    std::uint32_t cut = 0;
  };
  const auto count = static_cast<std::size_t>(kUnits) + 1;
  // Rounded up, so that the fastest choice is alone with those that are as fast.
  const auto unit_of = [&](double extra) {
    return range > 0.0 ? std::min(count - 1, static_cast<std::size_t>(std::ceil(extra / range * kUnits))) : 0;
  };
  std::vector<State> states(count), next(count);
  states[0].cost = 0.0;
  std::vector<std::vector<Step>> steps(cuts.size(), std::vector<Step>(count));
  for (std::size_t b = 0; b < cuts.size(); ++b) {
    std::fill(next.begin(), next.end(), State{});
    for (std::size_t s = 0; s < count; ++s) {
      if (states[s].cost == kUnreachable) continue;
      for (std::size_t c = 0; c < cuts[b].size(); ++c) {
        const State sum{states[s].cost + cuts[b][c].cut.cost,
                        states[s].extra + (cuts[b][c].time - fastest[b])};
        const std::size_t to = unit_of(sum.extra);
        if (sum.cost > next[to].cost || (sum.cost == next[to].cost && sum.extra >= next[to].extra)) continue;
        next[to] = sum;
        steps[b][to] = {static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(c)};
      }
    }
    states.swap(next);
  }

  // Sums of the same times in another order may differ in their last bits.
  const double spare = limit - least + 1e-12 * std::abs(limit);
  std::optional<std::size_t> best;  // of equal costs the fastest, since times ascend with the states
  for (std::size_t s = 0; s < count; ++s) {
    if (states[s].cost == kUnreachable || !(states[s].extra <= spare)) continue;
    if (!best || states[s].cost < states[*best].cost) best = s;
  }
  if (!best) return std::nullopt;
  std::vector<Index> removed(cuts.size());
  std::size_t state = *best;
  for (std::size_t b = cuts.size(); b-- > 0;) {
    const Step& step = steps[b][state];
    removed[b] = cuts[b][step.cut].cut.removed;
    state = step.from;
  }
  return removed;
}

namespace detail {

/// Four significant digits, rounded up, so that a limit taken from a message can be met.
inline std::string rounded_up(double value) {
  if (!(value > 0.0)) return shortest_text(value);
  const double unit = std::pow(10.0, 3.0 - std::floor(std::log10(value)));
  return shortest_text(std::ceil(value * unit) / unit);
}

}  // namespace detail

/// The plan of least summed cost whose blocks take no longer than `limit` together; time(block, width) is
/// what a block takes at a width, in any unit, whose name `unit` follows numbers in messages. Scope global;
/// rate and kept count are not looked at. Throws ValueError, saying the least time, where the options allow
/// none within the limit, and as plan_from_rankings does.
template <std::invocable<std::size_t, Index> Time>
PruningPlan plan_within_time(const std::vector<std::string>& names, const std::vector<Ranking>& rankings,
                             const Time& time, double limit, PrunerOptions options,
                             const std::string& unit = "") {
  detail::require_rankings(names, rankings);
  std::vector<Index> widths;
  for (const Ranking& ranking : rankings) widths.push_back(static_cast<Index>(ranking.order.size()));
  options.rate = 0.0;
  options.kept.reset();
  const std::vector<Allowance> blocks = allowances(names, widths, options);
  std::vector<std::vector<TimedCut>> cuts(blocks.size());
  double least = 0.0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Index summed = 0;
    double cost = 0.0;
    for (const Index removed : possible_removals(names[b], blocks[b], options)) {
      for (; summed < removed; ++summed) cost += rankings[b].cost[static_cast<std::size_t>(summed)];
      const double taken = time(b, widths[b] - removed);
      if (!std::isfinite(taken)) throw ValueError(names[b] + ": a time is not finite");
      // Nobody loses more neurons for the same time, of which a level curve has many.
      const bool useless =
          !cuts[b].empty() && taken >= cuts[b].back().time && cost >= cuts[b].back().cut.cost;
      if (!useless) cuts[b].push_back({{removed, cost}, taken});
    }
    least += std::min_element(cuts[b].begin(), cuts[b].end(), detail::faster)->time;
  }
  const auto removed = cheapest_within(cuts, limit);
  if (!removed) {
    throw ValueError("cannot come down to " + shortest_text(limit) + unit + ": under " +
                     narrowest_constraints(options) + " the least is " + detail::rounded_up(least) + unit);
  }
  return detail::plan_of_removals(names, rankings, *removed);
}

/// A plan, and what its blocks are predicted to take together.
struct TimedPlan {
  PruningPlan plan;
  double time = 0.0;
};

/// The same with the times put right by measuring: measure(plan) is what all blocks take together when pruned
/// like this, in the unit of `time`. Where a plan is more than 2 % off, the time that every cut saves is
/// scaled by the one factor that makes the plan's prediction what was measured, and the next plan is made,
/// after three measurements the last. The result depends on the times of the plans that it came by alone:
/// from remembered ones it is the same again.
template <std::invocable<std::size_t, Index> Time, std::invocable<const PruningPlan&> Measure>
TimedPlan plan_within_measured_time(const std::vector<std::string>& names,
                                    const std::vector<Ranking>& rankings, const Time& time,
                                    const Measure& measure, double limit, const PrunerOptions& options,
                                    const std::string& unit = "") {
  constexpr int kMeasurements = 3;
  constexpr double kTolerance = 0.02;
  // More than that is no correction any more.
  constexpr double kLeastScale = 0.5, kMostScale = 2.0;
  std::vector<double> dense;
  for (std::size_t b = 0; b < rankings.size(); ++b)
    dense.push_back(time(b, static_cast<Index>(rankings[b].order.size())));
  const double whole = std::accumulate(dense.begin(), dense.end(), 0.0);
  double scale = 1.0;
  for (int measured = 0;; ++measured) {
    const auto corrected = [&](std::size_t b, Index width) {
      return dense[b] - scale * (dense[b] - time(b, width));
    };
    TimedPlan result{plan_within_time(names, rankings, corrected, limit, options, unit)};
    for (std::size_t b = 0; b < dense.size(); ++b)
      result.time += corrected(b, result.plan.blocks[b].kept_width());
    const double saved = (whole - result.time) / scale;
    if (measured == kMeasurements || !(saved > 0.0)) return result;
    const double taken = measure(std::as_const(result.plan));
    if (!std::isfinite(taken)) throw ValueError("a measured time is not finite");
    if (std::abs(taken - result.time) <= kTolerance * result.time) return result;
    scale = std::clamp((whole - taken) / saved, kLeastScale, kMostScale);
  }
}

}  // namespace vbp::inline VBP_ABI
