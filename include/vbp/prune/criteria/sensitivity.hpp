#pragma once
/// How much an error of each block matters to the network's output, measured.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/prune/compensate/fold.hpp"
#include "vbp/prune/compensate/refit.hpp"
#include "vbp/prune/criteria/greedy.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Squared change of the outputs a squared change of the stream, for each mlp step: the block alone is cut by
/// `share` in the order of its ranking, refitted from its covariance, and the rest of the dense network run
/// on what comes out. start [samples * rows_per_sample(0), width] enters the first step; `network` is changed
/// and put back. Throws ShapeError where rankings or covariances are not one an mlp step.
template <ResidualNetwork N, CovarianceRange R>
std::vector<double> output_sensitivities(N& network, const std::vector<Ranking>& rankings,
                                         const R& covariances, const MatrixView<float>& start,
                                         double share = 0.6) {
  using Stream = Matrix<float>;
  const auto run_from = [&](Index step, Stream stream) {
    Stream next;
    for (; step < network.steps(); ++step) {
      network.run(step, stream, next);
      std::swap(stream, next);
    }
    network.outputs(stream, next);
    return next;
  };
  const Stream expected = run_from(0, start);
  std::vector<double> sensitivities;
  Stream stream = start, dense, pruned;
  auto covariance = std::ranges::begin(covariances);
  for (Index step = 0; step < network.steps(); ++step) {
    network.run(step, stream, dense);
    if (network.kind(step) == StepKind::mlp) {
      if (sensitivities.size() >= rankings.size() || covariance == std::ranges::end(covariances)) {
        throw ShapeError("rankings of " + std::to_string(rankings.size()) +
                         " blocks for a network that has more");
      }
      const Ranking& ranking = rankings[sensitivities.size()];
      const auto removed = static_cast<std::ptrdiff_t>(share * static_cast<double>(ranking.order.size()));
      std::vector<Index> kept(ranking.order.begin() + removed, ranking.order.end());
      std::sort(kept.begin(), kept.end());
      const Matrix<double> w1 = network.weight(step, 0).template cast<double>();
      const Matrix<double> w2 = network.weight(step, 1).template cast<double>();
      const Vector<double> b1 = Vector<float>(network.bias(step, 0)).template cast<double>();
      const Vector<double> b2 = Vector<float>(network.bias(step, 1)).template cast<double>();
      const auto& seen = *covariance;
      const LinearFit fit = refit(w2, b2, seen.mean(), seen.covariance(), kept);
      shrink(network.block(step), kept);
      network.set_layer(step, 1, fit.weight, fit.bias);
      network.run(step, stream, pruned);
      network.block(step).set_weights(w1.cast<float>(), b1.cast<float>(), w2.cast<float>(), b2.cast<float>());
      const double local = (pruned - dense).template cast<double>().squaredNorm();
      const double global = (run_from(step + 1, pruned) - expected).template cast<double>().squaredNorm();
      sensitivities.push_back(local > 0.0 ? global / local : 0.0);
      ++covariance;
    }
    std::swap(stream, dense);
  }
  if (sensitivities.size() != rankings.size()) {
    throw ShapeError("rankings of " + std::to_string(rankings.size()) + " blocks for a network of " +
                     std::to_string(sensitivities.size()));
  }
  return sensitivities;
}

}  // namespace vbp::inline VBP_ABI
