#pragma once
/// Budgets in parameters or MACs: the plan that brings them down to a share of the dense network's.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/prune/budget/cost.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/plan.hpp"

namespace vbp::inline VBP_ABI {

/// What a network spends of parameters, MACs or anything else that each hidden neuron of a block takes
/// equally much of. `total` is what the dense network spends.
struct Resource {
  std::string name;  ///< for messages: "parameters", "MACs"
  std::int64_t total = 0;
  std::vector<std::int64_t> per_neuron = {};  ///< of each block

  /// What the network spends under the plan.
  std::int64_t left(const PruningPlan& plan) const {
    std::int64_t sum = total;
    for (std::size_t b = 0; b < per_neuron.size(); ++b) sum -= per_neuron[b] * plan.blocks[b].removed();
    return sum;
  }
};

/// The parameters (&Cost::parameters) or MACs (&Cost::macs) of a network as a resource. cost_of(config) is
/// the cost of a network; it is asked once more a block, with that block's hidden_widths entry one less.
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
/// count. Neurons compete by their cost for what they save, which is their cost where all save equally much.
/// All options hold but rate and kept, which are ignored. Throws ValueError for a share outside (0, 1] and
/// for one that the options keep out of reach, and as plan_from_rankings does.
VBP_FUNCTION PruningPlan plan_within(const std::vector<std::string>& names, std::vector<Ranking> rankings,
                                     const Resource& resource, double share, PrunerOptions options);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/budget/resource-inl.hpp"
#endif
