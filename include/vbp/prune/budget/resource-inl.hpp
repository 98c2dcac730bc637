#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/core/text.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/removals.hpp"
#include "vbp/prune/budget/resource.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Throws as plan_within does for a share or prices that no plan can be made from.
VBP_FUNCTION void require_resource(const Resource& resource, double share, std::size_t blocks) {
  if (!(share > 0.0 && share <= 1.0)) {
    throw_value_error({"a share ", shortest_text(share), " of the ", resource.name, " is outside (0, 1]"});
  }
  const auto& prices = resource.per_neuron;
  if (prices.size() != blocks || blocks == 0) {
    throw_shape_error({resource.name, " of ", prices.size(), " blocks for rankings of ", blocks});
  }
  if (*std::min_element(prices.begin(), prices.end()) < 1) {
    throw_value_error({"a hidden neuron takes no ", resource.name});
  }
}

/// The fewest and the most neurons that all blocks together may lose.
VBP_FUNCTION std::pair<Index, Index> removable(const std::vector<Allowance>& blocks, Index multiple) {
  Index few = 0, many = 0;
  for (const Allowance& block : blocks) {
    const std::vector<Index> counts = removals_to_multiple(block, multiple);
    few += counts.empty() ? block.least : counts.front();
    many += block.most;
  }
  return {few, many};
}

}  // namespace detail

VBP_FUNCTION PruningPlan plan_within(const std::vector<std::string>& names, std::vector<Ranking> rankings,
                                     const Resource& resource, double share, PrunerOptions options) {
  detail::require_resource(resource, share, rankings.size());
  const auto& prices = resource.per_neuron;
  const std::int64_t lowest = *std::min_element(prices.begin(), prices.end());
  std::vector<Index> widths;
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    // Relative to the lowest price, so that equal prices do not change a bit of the costs.
    const double price = static_cast<double>(prices[b]) / static_cast<double>(lowest);
    for (double& cost : rankings[b].cost) cost /= price;
    widths.push_back(static_cast<Index>(rankings[b].cost.size()));
  }

  const Index all = std::accumulate(widths.begin(), widths.end(), Index{0});
  options.rate.reset();
  options.kept = all;
  auto [few, many] = detail::removable(allowances(names, widths, options), options.multiple);
  const auto removing = [&](Index count) {
    options.kept = all - count;
    PruningPlan plan = plan_from_rankings(names, rankings, options);
    plan.requested = plan.removed();  // a width multiple may remove fewer
    return plan;
  };
  const std::int64_t limit = whole_share(share, resource.total);
  PruningPlan plan = removing(many);
  if (resource.left(plan) > limit) {
    throw_value_error({"cannot keep as little as ", shortest_text(share), " of the ", resource.name,
                       ": under ", narrowest_constraints(options), " ", resource.left(plan), " of ",
                       resource.total, " stay"});
  }
  while (few < many) {
    const Index middle = few + (many - few) / 2;
    PruningPlan candidate = removing(middle);
    if (resource.left(candidate) <= limit) {
      plan = std::move(candidate);
      many = middle;
    } else {
      few = middle + 1;
    }
  }
  return plan;
}

}  // namespace vbp::inline VBP_ABI
