#pragma once
/// Budgets in what neurons cost: the plan that brings parameters or MACs down to a share of the dense ones.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/text.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/budget/budget.hpp"
#include "vbp/prune/budget/cost.hpp"
#include "vbp/prune/budget/options.hpp"
#include "vbp/prune/budget/widths.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"

namespace vbp::inline VBP_ABI {

/// What a network spends of something that each hidden neuron of a block takes equally much of: parameters,
/// multiply-accumulates. `total` is that of the dense network.
struct Resource {
  std::string name;  ///< for messages: "parameters", "MACs"
  std::int64_t total = 0;
  std::vector<std::int64_t> per_neuron = {};  ///< of each block

  std::int64_t left(const PruningPlan& plan) const {
    std::int64_t sum = total;
    for (std::size_t b = 0; b < per_neuron.size(); ++b) sum -= per_neuron[b] * plan.blocks[b].removed();
    return sum;
  }
};

/// Parameters (&Cost::parameters) or MACs (&Cost::macs) of a network as a budget: what each block's cost
/// falls by when its hidden layer is one neuron narrower. cost_of(config) is the network's cost.
template <class Config, class CostOf>
Resource resource_of(Config config, CostOf&& cost_of, std::string name,
                     std::int64_t (Cost::*part)() const noexcept) {
  Resource resource{.name = std::move(name), .total = (cost_of(config).*part)()};
  for (Index& width : config.hidden_widths) {
    --width;
    resource.per_neuron.push_back(resource.total - (cost_of(config).*part)());
    ++width;
  }
  return resource;
}

/// The plan of the fewest removals that leaves at most `share` of the resource, found by bisection over the
/// count. Neurons compete by cost for what they save, which is their cost where all save the same. The other
/// options hold, rate and kept count are not looked at. Throws ValueError for a share outside (0, 1] and one
/// that they keep out of reach, and as plan_from_rankings does.
inline PruningPlan plan_within(const std::vector<std::string>& names, std::vector<Ranking> rankings,
                               const Resource& resource, double share, PrunerOptions options) {
  if (!(share > 0.0 && share <= 1.0)) {
    throw ValueError("a share " + shortest_text(share) + " of the " + resource.name + " is outside (0, 1]");
  }
  const auto& prices = resource.per_neuron;
  if (prices.size() != rankings.size() || rankings.empty()) {
    throw ShapeError(resource.name + " of " + std::to_string(prices.size()) + " blocks for rankings of " +
                     std::to_string(rankings.size()));
  }
  const std::int64_t lowest = *std::min_element(prices.begin(), prices.end());
  if (lowest < 1) throw ValueError("a hidden neuron takes no " + resource.name);
  std::vector<Index> widths;
  for (std::size_t b = 0; b < rankings.size(); ++b) {
    // Relative to the lowest price, so that equal ones do not change a bit.
    const double price = static_cast<double>(prices[b]) / static_cast<double>(lowest);
    for (double& cost : rankings[b].cost) cost /= price;
    widths.push_back(static_cast<Index>(rankings[b].cost.size()));
  }

  const Index all = std::accumulate(widths.begin(), widths.end(), Index{0});
  options.rate.reset();
  options.kept = all;
  Index few = 0, many = 0;
  for (const Allowance& block : allowances(names, widths, options)) {
    const std::vector<Index> counts = removals_to_multiple(block, options.multiple);
    few += counts.empty() ? block.least : counts.front();
    many += block.most;
  }
  const auto removing = [&](Index count) {
    options.kept = all - count;
    PruningPlan plan = plan_from_rankings(names, rankings, options);
    plan.requested = plan.removed();  // a width multiple may remove fewer
    return plan;
  };
  const std::int64_t limit = whole_share(share, resource.total);
  PruningPlan plan = removing(many);
  if (resource.left(plan) > limit) {
    throw ValueError("cannot keep as little as " + shortest_text(share) + " of the " + resource.name +
                     ": under " + narrowest_constraints(options) + " " + std::to_string(resource.left(plan)) +
                     " of " + std::to_string(resource.total) + " stay");
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
