#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/budget/removals.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION std::vector<Index> remove_lowest(const std::vector<std::vector<double>>& ascending,
                                              const std::vector<Allowance>& blocks, Index removals) {
  std::vector<Index> removed(blocks.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) removals -= removed[b] = blocks[b].least;
  for (; removals > 0; --removals) {
    std::size_t cheapest = blocks.size();
    double least = 0.0;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (removed[b] == blocks[b].most) continue;
      const double score = ascending[b][static_cast<std::size_t>(removed[b])];
      if (cheapest < blocks.size() && !(score < least)) continue;
      cheapest = b;
      least = score;
    }
    ++removed[cheapest];
  }
  return removed;
}

VBP_FUNCTION std::vector<Index> remove_evenly(const std::vector<Allowance>& blocks, Index removals) {
  // The sum of the clamped shares is piecewise linear in f with its bends at least/width and most/width. Find
  // the last bend p/q at which it does not exceed the removals: it tells which blocks are clamped, and how.
  Index p = 0, q = 1;
  const auto try_bend = [&](Index bend_p, Index bend_q) {
    Index sum = 0;
    for (const Allowance& block : blocks) {
      sum += std::clamp(bend_p * block.width, block.least * bend_q, block.most * bend_q);
    }
    if (sum > removals * bend_q || bend_p * q <= p * bend_q) return;
    p = bend_p;
    q = bend_q;
  };
  for (const Allowance& block : blocks) {
    try_bend(block.least, block.width);
    try_bend(block.most, block.width);
  }
  std::vector<Index> removed(blocks.size());
  std::vector<std::size_t> free;
  Index free_width = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (p * blocks[b].width >= blocks[b].most * q) {
      removed[b] = blocks[b].most;
    } else if (p * blocks[b].width < blocks[b].least * q) {
      removed[b] = blocks[b].least;
    } else {
      free.push_back(b);
      free_width += blocks[b].width;
      continue;
    }
    removals -= removed[b];
  }
  Index left = removals;
  for (const std::size_t b : free) left -= removed[b] = removals * blocks[b].width / free_width;
  // Of equal remainders the lower block's comes first.
  for (; left > 0; --left) {
    auto next = free.begin();
    for (auto other = next + 1; other != free.end(); ++other) {
      if (removals * blocks[*other].width % free_width > removals * blocks[*next].width % free_width) {
        next = other;
      }
    }
    ++removed[*next];
    free.erase(next);
  }
  return removed;
}

VBP_FUNCTION std::optional<std::vector<Index>> cheapest_cuts(const std::vector<std::vector<Cut>>& cuts,
                                                             Index removals) {
  // All counts are multiples of their greatest common divisor, mostly the width multiple: count in that unit.
  Index unit = 0, most = 0;
  for (const std::vector<Cut>& block : cuts) {
    if (block.empty()) return std::nullopt;
    for (const Cut& cut : block) unit = std::gcd(unit, cut.removed);
    most += block.back().removed;
  }
  if (unit == 0) unit = 1;
  const Index capacity = std::min(removals, most) / unit;

  // cost[s]: the least cost of removing s units from the blocks b and above; pick[b * states + s]: block b's
  // cut there.
  constexpr double kUnreachable = std::numeric_limits<double>::infinity();
  const auto states = static_cast<std::size_t>(capacity) + 1;
  std::vector<double> cost(states, kUnreachable), next(states);
  cost[0] = 0.0;
  std::vector<Index> pick(cuts.size() * states);
  for (std::size_t b = cuts.size(); b-- > 0;) {
    for (double& least : next) least = kUnreachable;
    for (std::size_t c = 0; c < cuts[b].size(); ++c) {
      const auto step = static_cast<std::size_t>(cuts[b][c].removed / unit);
      for (std::size_t s = step; s < states; ++s) {
        const double sum = cost[s - step] + cuts[b][c].cost;
        if (sum > next[s]) continue;
        next[s] = sum;
        pick[b * states + s] = static_cast<Index>(c);
      }
    }
    cost.swap(next);
  }
  std::size_t state = states;
  do {
    if (state == 0) return std::nullopt;
    --state;
  } while (cost[state] == kUnreachable);

  std::vector<Index> removed;
  for (std::size_t b = 0; b < cuts.size(); ++b) {
    const auto picked = static_cast<std::size_t>(pick[b * states + state]);
    removed.push_back(cuts[b][picked].removed);
    state -= static_cast<std::size_t>(removed.back() / unit);
  }
  return removed;
}

VBP_FUNCTION std::vector<Index> removals_to_multiple(const Allowance& block, Index multiple) {
  std::vector<Index> counts;
  if (block.least == 0) counts.push_back(0);
  for (Index kept = block.width / multiple * multiple; kept > 0; kept -= multiple) {
    const Index removed = block.width - kept;
    if (removed > 0 && removed >= block.least && removed <= block.most) counts.push_back(removed);
  }
  return counts;
}

VBP_FUNCTION std::vector<Index> possible_removals(const std::string& name, const Allowance& block,
                                                  const PrunerOptions& options) {
  std::vector<Index> counts = removals_to_multiple(block, options.multiple);
  if (counts.empty()) {
    throw_value_error({name, ": no multiple of ", options.multiple, " lies between the minimum width ",
                       options.min_width, " and the maximum width ", *options.max_width});
  }
  return counts;
}

VBP_FUNCTION std::vector<Index> choose_removals(const std::vector<std::string>& names,
                                                const std::vector<std::vector<double>>& ascending,
                                                const PrunerOptions& options) {
  std::vector<Index> widths;
  for (const std::vector<double>& scores : ascending) widths.push_back(static_cast<Index>(scores.size()));
  const std::vector<Allowance> blocks = allowances(names, widths, options);
  const Index removals = requested_removals(options, std::accumulate(widths.begin(), widths.end(), Index{0}));
  require_reachable(removals, blocks, options);

  std::vector<Index> even;
  if (options.scope == Scope::block) even = remove_evenly(blocks, removals);
  if (options.multiple == 1) {
    return options.scope == Scope::block ? even : remove_lowest(ascending, blocks, removals);
  }

  std::vector<std::vector<Cut>> cuts(blocks.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Index summed = 0;
    double score = 0.0;
    for (const Index removed : possible_removals(names[b], blocks[b], options)) {
      for (; summed < removed; ++summed) score += ascending[b][static_cast<std::size_t>(summed)];
      const auto distance = static_cast<double>(even.empty() ? 0 : removed - even[b]);
      cuts[b].push_back({removed, even.empty() ? score : distance * distance});
    }
  }
  const auto removed = cheapest_cuts(cuts, removals);
  if (!removed) {
    throw_value_error({"cannot remove as few as ", removals, " hidden neurons: the maximum width ",
                       *options.max_width, " and the width multiple ", options.multiple, " make more go"});
  }
  return *removed;
}

}  // namespace vbp::inline VBP_ABI
