#pragma once
/// Statistics of a network's hidden activations, which calibration gathers, for every family's inference.

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"

namespace vbp::inline VBP_ABI {

/// Empty statistics for the hidden activations of each block, in order; for a model with weights, `config` is
/// config_of(model).
template <class Config>
std::vector<Statistics<double>> hidden_statistics(const Config& config) {
  std::vector<Statistics<double>> statistics;
  for (const Index width : config.hidden_widths) statistics.emplace_back(width);
  return statistics;
}

/// Empty covariances of the same activations; Covariance<float>::bytes(width) each.
template <class Config>
std::vector<Covariance<float>> hidden_covariances(const Config& config) {
  std::vector<Covariance<float>> covariances;
  for (const Index width : config.hidden_widths) covariances.emplace_back(width);
  return covariances;
}

/// Runs images [n, channels * size * size] and adds every row of hidden activations after GELU to the
/// statistics of its block. A row is a token, of whatever kind, or a pixel. `covariances` are those of some
/// blocks, from block `first` on, since all of them together can be larger than memory. Returns the logits.
/// Throws ShapeError if the statistics do not fit the model's blocks, and ValueError, naming block and
/// neuron, if an activation is NaN or infinite. The statistics are unchanged then. The covariances, which are
/// too large to be copied for each batch, must not be used any more.
template <class T, template <class> class InferenceOf>
Matrix<T> observe_hidden(InferenceOf<T>& inference, const std::type_identity_t<MatrixView<T>>& images,
                         std::vector<Statistics<double>>& statistics,
                         std::span<Covariance<float>> covariances = {}, Index first = 0) {
  const auto& config = inference.config();
  const std::vector<std::string> names = block_names(config);
  if (statistics.size() != names.size()) {
    throw ShapeError("statistics of " + std::to_string(statistics.size()) + " blocks for a model of " +
                     std::to_string(names.size()));
  }
  const auto begin = static_cast<std::size_t>(first);
  if (first < 0 || begin > names.size() || covariances.size() > names.size() - begin) {
    throw ShapeError("covariances of " + std::to_string(covariances.size()) + " blocks from block " +
                     std::to_string(first) + " on for a model of " + std::to_string(names.size()));
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (statistics[i].features() == config.hidden_widths[i]) continue;
    throw ShapeError(names[i] + ": statistics of " + std::to_string(statistics[i].features()) +
                     " features for " + std::to_string(config.hidden_widths[i]) + " hidden neurons");
  }
  // On a copy, which is small beside the activations: if a later block fails, the earlier ones must not have
  // counted the batch.
  std::vector<Statistics<double>> seen = statistics;
  Matrix<T> logits = inference(images, [&](Index block, const MatrixView<T>& hidden) {
    const auto b = static_cast<std::size_t>(block);
    with_context(names[b], [&] {
      seen[b].observe(hidden, inference.pool());
      if (b >= begin && b - begin < covariances.size()) {
        covariances[b - begin].observe(hidden, inference.pool());
      }
    });
  });
  statistics.swap(seen);
  return logits;
}

}  // namespace vbp::inline VBP_ABI
