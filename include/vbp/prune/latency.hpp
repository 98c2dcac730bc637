#pragma once
/// Budgets in time: the widths that lose least for what the blocks are measured to take.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/budget.hpp"
#include "vbp/prune/options.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"
#include "vbp/prune/ranking.hpp"
#include "vbp/prune/widths.hpp"

namespace vbp {

/// Time over hidden width, measured at a few widths: linear between them, level beyond.
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

/// One cut per block, of least summed cost under a limit of the summed time; nothing where no choice keeps to
/// it. Of equal costs a faster choice is taken.
///
/// Dynamic programming, since neither measured times nor costs are convex in the width and the hull that a
/// Lagrangian walks may step over the limit by a whole segment. Time is counted in 1/20000 of what the limit
/// leaves above the fastest cuts, each cut's rounded up: the limit holds exactly, and less than a unit a
/// block is given away.
inline std::optional<std::vector<Index>> cheapest_within(const std::vector<std::vector<TimedCut>>& cuts,
                                                         double limit) {
  constexpr double kUnits = 20000.0;
  constexpr double kUnreachable = std::numeric_limits<double>::infinity();
  std::vector<double> fastest;
  double spare = limit;
  for (const std::vector<TimedCut>& block : cuts) {
    if (block.empty()) return std::nullopt;
    fastest.push_back(kUnreachable);
    for (const TimedCut& cut : block) fastest.back() = std::min(fastest.back(), cut.time);
    spare -= fastest.back();
  }
  // Sums of the same times in another order may differ in their last bits.
  if (!(spare >= -1e-12 * std::abs(limit))) return std::nullopt;
  const auto units = [&](double time) {
    if (!(time > 0.0)) return 0.0;
    return spare > 0.0 ? std::ceil(time / spare * kUnits * (1.0 - 1e-12)) : kUnreachable;
  };

  // cost[s]: the least cost of the blocks b and above within s units; pick[b][s]: block b's cut there.
  const auto states = static_cast<std::size_t>(kUnits) + 1;
  std::vector<double> cost(states, 0.0), next(states);
  std::vector<std::vector<std::uint32_t>> pick(cuts.size(), std::vector<std::uint32_t>(states));
  std::vector<std::vector<double>> steps(cuts.size());
  for (std::size_t b = cuts.size(); b-- > 0;) {
    std::fill(next.begin(), next.end(), kUnreachable);
    for (std::size_t c = 0; c < cuts[b].size(); ++c) {
      const double step = steps[b].emplace_back(units(cuts[b][c].time - fastest[b]));
      if (step > kUnits) continue;
      const auto first = static_cast<std::size_t>(step);
      for (std::size_t s = first; s < states; ++s) {
        const double sum = cost[s - first] + cuts[b][c].cut.cost;
        const bool faster = sum == next[s] && step < steps[b][pick[b][s]];
        if (!(sum < next[s]) && !faster) continue;
        next[s] = sum;
        pick[b][s] = static_cast<std::uint32_t>(c);
      }
    }
    cost.swap(next);
  }
  std::vector<Index> removed;
  std::size_t state = states - 1;
  for (std::size_t b = 0; b < cuts.size(); ++b) {
    const std::size_t c = pick[b][state];
    removed.push_back(cuts[b][c].cut.removed);
    state -= static_cast<std::size_t>(steps[b][c]);
  }
  return removed;
}

/// The plan of least summed cost whose blocks take no longer than `limit` together; time(block, width) is
/// what a block takes at a width, in any unit. Scope global; rate and kept count are not looked at. Throws
/// ValueError where the narrowest blocks that the options allow take longer, and as plan_from_rankings does.
template <std::invocable<std::size_t, Index> Time>
PruningPlan plan_within_time(const std::vector<std::string>& names, const std::vector<Ranking>& rankings,
                             const Time& time, double limit, PrunerOptions options) {
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
    double cost = 0.0, fastest = std::numeric_limits<double>::infinity();
    for (const Index removed : removals_to_multiple(blocks[b], options.multiple)) {
      for (; summed < removed; ++summed) cost += rankings[b].cost[static_cast<std::size_t>(summed)];
      const double seconds = time(b, widths[b] - removed);
      if (!std::isfinite(seconds)) throw ValueError(names[b] + ": a time is not finite");
      cuts[b].push_back({{removed, cost}, seconds});
      fastest = std::min(fastest, seconds);
    }
    if (cuts[b].empty()) {
      throw ValueError(names[b] + ": no multiple of " + std::to_string(options.multiple) +
                       " lies between the minimum width " + std::to_string(options.min_width) +
                       " and the maximum width");
    }
    least += fastest;
  }
  const auto removed = cheapest_within(cuts, limit);
  if (!removed) {
    const std::string excluded = options.exclude.empty() ? "" : " and the excluded blocks";
    throw ValueError("cannot come down to a latency of " + shortest_text(limit) +
                     ": under the minimum width " + std::to_string(options.min_width) + excluded + " " +
                     shortest_text(least) + " is the least");
  }
  return detail::plan_of_removals(names, rankings, *removed);
}

}  // namespace vbp
