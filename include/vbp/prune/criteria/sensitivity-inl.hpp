#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/dependent.hpp"
#include "vbp/core/message.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/criteria/sensitivity.hpp"

namespace vbp::inline VBP_ABI::detail {

/// The outputs of a network when `stream` enters a step.
VBP_FUNCTION Matrix<float> outputs_from(AnyResidualNetwork& network, Index step, Matrix<float> stream) {
  Matrix<float> next;
  for (; step < network.steps(); ++step) {
    network.run(step, stream, next);
    std::swap(stream, next);
  }
  network.outputs(stream, next);
  return next;
}

/// The neurons, ascending, that stay when the first `share` of a ranking go.
VBP_FUNCTION std::vector<Index> kept_by(const Ranking& ranking, double share) {
  const auto removed = static_cast<std::ptrdiff_t>(share * static_cast<double>(ranking.order.size()));
  std::vector<Index> kept(ranking.order.begin() + removed, ranking.order.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

/// Values in float. A template, as squared_distance is, so that it is compiled only where it is used.
template <class T, int Rows, int Columns, int Options>
auto in_single(const Eigen::Matrix<double, Rows, Columns, Options>& values) {
  return Eigen::Matrix<T, Rows, Columns, Options>(values.template cast<T>());
}

template <class T>
double squared_distance(const Matrix<T>& a, const Matrix<T>& b) {
  return (a - b).template cast<double>().squaredNorm();
}

/// Runs a step with its block cut to `kept` and refitted, then restores the block.
template <class T>
void run_pruned(AnyResidualNetwork& network, Index step, const std::vector<Index>& kept,
                const BlockMoments& moments, const Matrix<T>& stream, Matrix<T>& pruned,
                kernels::Workspace<double>& workspace) {
  const Matrix<DoubleFor<T>> w1 = network.weight(step, 0), w2 = network.weight(step, 1);
  const Vector<DoubleFor<T>> b1 = network.bias(step, 0), b2 = network.bias(step, 1);
  const LinearFit fit = refit(w2, b2, moments.mean, moments.covariance, kept, {}, workspace);
  network.shrink_block(step, kept);
  network.set_layer(step, 1, fit.weight, fit.bias);
  network.run(step, stream, pruned);
  network.set_block(step, in_single<T>(w1), in_single<T>(b1), in_single<T>(w2), in_single<T>(b2));
}

VBP_FUNCTION std::vector<double> sensitivities_of(AnyResidualNetwork& network,
                                                  const std::vector<Ranking>& rankings,
                                                  std::size_t covariances,
                                                  const NextBlockMoments& next_moments,
                                                  const MatrixView<float>& start, double share,
                                                  const Context& context) {
  std::size_t blocks = 0;
  for (Index step = 0; step < network.steps(); ++step) blocks += network.kind(step) == StepKind::mlp ? 1 : 0;
  if (rankings.size() != blocks || covariances != blocks) {
    throw_shape_error({"rankings of ", rankings.size(), " blocks and covariances of ", covariances,
                       " for a network of ", blocks});
  }
  kernels::Workspace<double> workspace(context);
  const Matrix<float> expected = outputs_from(network, 0, start);
  std::vector<double> sensitivities;
  Matrix<float> stream = start, dense, pruned;
  for (Index step = 0; step < network.steps(); ++step) {
    context.require_not_cancelled();
    network.run(step, stream, dense);
    if (network.kind(step) == StepKind::mlp) {
      const std::vector<Index> kept = kept_by(rankings[sensitivities.size()], share);
      run_pruned(network, step, kept, next_moments(), stream, pruned, workspace);
      const double local = squared_distance(pruned, dense);
      const double global = squared_distance(outputs_from(network, step + 1, pruned), expected);
      sensitivities.push_back(local > 0.0 ? global / local : 0.0);
    }
    std::swap(stream, dense);
  }
  return sensitivities;
}

}  // namespace vbp::inline VBP_ABI::detail
