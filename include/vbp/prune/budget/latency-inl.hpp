#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/core/text.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/latency.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION double LatencyCurve::operator()(Index width) const noexcept {
  const auto above = std::lower_bound(widths.begin(), widths.end(), width) - widths.begin();
  const auto i = static_cast<std::size_t>(above);
  if (i == 0) return times.front();
  if (i == widths.size()) return times.back();
  const double share =
      static_cast<double>(width - widths[i - 1]) / static_cast<double>(widths[i] - widths[i - 1]);
  return times[i - 1] + share * (times[i] - times[i - 1]);
}

namespace detail {

/// The states of cheapest_within after some blocks, and how each was reached.
struct TimedStates {
  static constexpr double kUnits = 20000.0;
  static constexpr std::size_t kCount = static_cast<std::size_t>(kUnits) + 1;
  static constexpr double kUnreachable = std::numeric_limits<double>::infinity();

  /// What a choice for the blocks so far costs, and its time beyond the fastest choice's.
  struct State {
    double cost = kUnreachable;
    double extra = 0.0;
  };
  struct Step {
    std::uint32_t from = 0;
    std::uint32_t cut = 0;
  };

  double least = 0.0;  ///< time of the fastest choice
  double range = 0.0;  ///< from the fastest choice to the slowest
  std::vector<State> states = std::vector<State>(kCount);
  std::vector<std::vector<Step>> steps = {};

  /// Rounded up, so that the fastest choice shares its state only with those that are as fast.
  std::size_t unit_of(double extra) const noexcept {
    if (!(range > 0.0)) return 0;
    return std::min(kCount - 1, static_cast<std::size_t>(std::ceil(extra / range * kUnits)));
  }
};

/// Adds one block's cuts, the fastest of which takes `fastest`.
VBP_FUNCTION void add_block(TimedStates& all, const std::vector<TimedCut>& cuts, double fastest) {
  using State = TimedStates::State;
  std::vector<State> next(TimedStates::kCount);
  std::vector<TimedStates::Step>& steps = all.steps.emplace_back(TimedStates::kCount);
  for (std::size_t s = 0; s < TimedStates::kCount; ++s) {
    const State& from = all.states[s];
    if (from.cost == TimedStates::kUnreachable) continue;
    for (std::size_t c = 0; c < cuts.size(); ++c) {
      const State sum{from.cost + cuts[c].cut.cost, from.extra + (cuts[c].time - fastest)};
      const std::size_t to = all.unit_of(sum.extra);
      if (sum.cost > next[to].cost || (sum.cost == next[to].cost && sum.extra >= next[to].extra)) continue;
      next[to] = sum;
      steps[to] = {static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(c)};
    }
  }
  all.states.swap(next);
}

/// The cheapest state within the limit, of equal costs the fastest, since times ascend with the states.
VBP_FUNCTION std::optional<std::size_t> cheapest_state(const TimedStates& all, double limit) {
  // Sums of the same times in another order may differ in their last bits.
  const double spare = limit - all.least + 1e-12 * std::abs(limit);
  std::optional<std::size_t> best;
  for (std::size_t s = 0; s < TimedStates::kCount; ++s) {
    const TimedStates::State& state = all.states[s];
    if (state.cost == TimedStates::kUnreachable || !(state.extra <= spare)) continue;
    if (!best || state.cost < all.states[*best].cost) best = s;
  }
  return best;
}

struct Faster {
  bool operator()(const TimedCut& a, const TimedCut& b) const noexcept { return a.time < b.time; }
};

}  // namespace detail

VBP_FUNCTION std::optional<std::vector<Index>> cheapest_within(const std::vector<std::vector<TimedCut>>& cuts,
                                                               double limit) {
  detail::TimedStates all;
  std::vector<double> fastest;
  for (const std::vector<TimedCut>& block : cuts) {
    if (block.empty()) return std::nullopt;
    const auto [low, high] = std::minmax_element(block.begin(), block.end(), detail::Faster());
    fastest.push_back(low->time);
    all.least += low->time;
    all.range += high->time - low->time;
  }
  all.states[0].cost = 0.0;
  for (std::size_t b = 0; b < cuts.size(); ++b) detail::add_block(all, cuts[b], fastest[b]);
  const std::optional<std::size_t> best = detail::cheapest_state(all, limit);
  if (!best) return std::nullopt;
  std::vector<Index> removed(cuts.size());
  std::size_t state = *best;
  for (std::size_t b = cuts.size(); b-- > 0;) {
    const auto& step = all.steps[b][state];
    removed[b] = cuts[b][step.cut].cut.removed;
    state = step.from;
  }
  return removed;
}

namespace detail {

/// Four significant digits, rounded up, so that a limit taken from a message can be met.
VBP_FUNCTION std::string rounded_up(double value) {
  if (!(value > 0.0)) return shortest_text(value);
  const double unit = std::pow(10.0, 3.0 - std::floor(std::log10(value)));
  return shortest_text(std::ceil(value * unit) / unit);
}

/// Every cut that the block's allowance and the width multiple permit and that is worth its cost.
VBP_FUNCTION std::vector<TimedCut> timed_cuts(const std::string& name, std::size_t block,
                                              const Allowance& allowance, const Ranking& ranking,
                                              const BlockTime& time, const PrunerOptions& options) {
  std::vector<TimedCut> cuts;
  Index summed = 0;
  double cost = 0.0;
  for (const Index removed : possible_removals(name, allowance, options)) {
    for (; summed < removed; ++summed) cost += ranking.cost[static_cast<std::size_t>(summed)];
    const double taken = time(block, allowance.width - removed);
    if (!std::isfinite(taken)) throw_value_error({name, ": a time is not finite"});
    // Losing more neurons for the same time is never worth it; a level curve has many such cuts.
    const bool useless = !cuts.empty() && taken >= cuts.back().time && cost >= cuts.back().cut.cost;
    if (!useless) cuts.push_back({{removed, cost}, taken});
  }
  return cuts;
}

}  // namespace detail

VBP_FUNCTION PruningPlan plan_within_time(const std::vector<std::string>& names,
                                          const std::vector<Ranking>& rankings, const BlockTime& time,
                                          double limit, PrunerOptions options, const std::string& unit) {
  detail::require_rankings(names, rankings);
  std::vector<Index> widths;
  for (const Ranking& ranking : rankings) widths.push_back(static_cast<Index>(ranking.order.size()));
  options.rate = 0.0;
  options.kept.reset();
  const std::vector<Allowance> blocks = allowances(names, widths, options);
  std::vector<std::vector<TimedCut>> cuts;
  double least = 0.0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    cuts.push_back(detail::timed_cuts(names[b], b, blocks[b], rankings[b], time, options));
    least += std::min_element(cuts[b].begin(), cuts[b].end(), detail::Faster())->time;
  }
  const auto removed = cheapest_within(cuts, limit);
  if (!removed) {
    throw_value_error({"cannot come down to ", shortest_text(limit), unit, ": under ",
                       narrowest_constraints(options), " the least is ", detail::rounded_up(least), unit});
  }
  return detail::plan_of_removals(names, rankings, *removed);
}

VBP_FUNCTION TimedPlan plan_within_measured_time(const std::vector<std::string>& names,
                                                 const std::vector<Ranking>& rankings, const BlockTime& time,
                                                 const PlanTime& measure, double limit,
                                                 const PrunerOptions& options, const std::string& unit) {
  constexpr int kMeasurements = 3;
  constexpr double kTolerance = 0.02;
  // A factor beyond these is no correction any more.
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
    const double taken = measure(result.plan);
    if (!std::isfinite(taken)) throw_value_error({"a measured time is not finite"});
    if (std::abs(taken - result.time) <= kTolerance * result.time) return result;
    scale = std::clamp((whole - taken) / saved, kLeastScale, kMostScale);
  }
}

}  // namespace vbp::inline VBP_ABI
