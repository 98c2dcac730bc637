#pragma once
/// Prunes your own network, which need not be one of vbp's models. Has statistics, criteria, budgets, plans
/// and compensations.
///
///     std::vector<vbp::Mlp<float>> blocks = {{w1, b1, w2, b2}, ...};  // or your own LinearGeluLinear type
///     std::vector<vbp::Statistics<>> statistics;
///     for (const auto& block : blocks) statistics.emplace_back(block.hidden());
///     for (const vbp::Matrix<float>& batch : batches) {  // the blocks' input, one sample per row
///       for (std::size_t b = 0; b < blocks.size(); ++b) {
///         statistics[b].observe(blocks[b].hidden_activation(batch));
///       }
///     }
///     const vbp::VariancePruner pruner({.rate = 0.5});
///     const vbp::PruningPlan plan = pruner.plan(statistics);  // which neurons stay
///     pruner.apply(plan, statistics, blocks);                 // blocks are half as wide

#include "vbp/core/concepts.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/blocks.hpp"
#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/budget/cost.hpp"
#include "vbp/prune/budget/latency.hpp"
#include "vbp/prune/budget/pruner_options.hpp"
#include "vbp/prune/budget/removals.hpp"
#include "vbp/prune/budget/resource.hpp"
#include "vbp/prune/compensate/cholesky.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/compensate/gauss_newton.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/compensate/regression.hpp"
#include "vbp/prune/compensate/ridge.hpp"
#include "vbp/prune/compensate/sequential.hpp"
#include "vbp/prune/criteria/clusters.hpp"
#include "vbp/prune/criteria/denoised.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/criteria/magnitude.hpp"
#include "vbp/prune/criteria/output_variance.hpp"
#include "vbp/prune/criteria/random.hpp"
#include "vbp/prune/criteria/ranking.hpp"
#include "vbp/prune/criteria/scores.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"
#include "vbp/prune/criteria/snip.hpp"
#include "vbp/prune/criteria/variance.hpp"
#include "vbp/prune/method.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"
#include "vbp/prune/residual_network.hpp"
#include "vbp/prune/selection.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"
#include "vbp/stats/stored_covariance.hpp"
