#pragma once
/// Statistics of a Vision Transformer's hidden activations: what calibration gathers.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"
#include "vbp/vit/inference.hpp"
#include "vbp/vit/model.hpp"

namespace vbp {

/// Empty statistics for the hidden activations of each block, in order.
inline std::vector<Statistics<double>> hidden_statistics(const VitConfig& config) {
  std::vector<Statistics<double>> statistics;
  for (const Index width : config.hidden_widths) statistics.emplace_back(width);
  return statistics;
}

/// Empty covariances of the same activations; Covariance<float>::bytes(width) each.
inline std::vector<Covariance<float>> hidden_covariances(const VitConfig& config) {
  std::vector<Covariance<float>> covariances;
  for (const Index width : config.hidden_widths) covariances.emplace_back(width);
  return covariances;
}

/// The blocks' names, in order: those of reports, plans and calibration files.
inline std::vector<std::string> block_names(const VitConfig& config) {
  std::vector<std::string> names;
  for (Index i = 0; i < config.depth(); ++i) names.push_back(VisionTransformer<float>::block_name(i));
  return names;
}

/// Runs images [n, channels * size * size] and adds every token's hidden activations (after GELU; class,
/// distillation and register tokens too) to the statistics of its block, and to its covariance where
/// `covariances` is not empty. Returns the logits. Throws ShapeError if the statistics are not those of the
/// model's blocks and ValueError, naming block and neuron, if an activation is NaN or infinite: the
/// statistics are as before then, the covariances (too large to be copied for each batch) are not to be used
/// any more.
template <class T>
Matrix<T> observe_hidden(Inference<T>& inference, const MatrixView<T>& images,
                         std::vector<Statistics<double>>& statistics,
                         std::span<Covariance<float>> covariances = {}) {
  const VitConfig& config = inference.config();
  const auto depth = static_cast<std::size_t>(config.depth());
  const auto require_depth = [depth](const char* what, std::size_t count) {
    if (count == depth) return;
    throw ShapeError(what + std::to_string(count) + " blocks for a model of " + std::to_string(depth));
  };
  require_depth("statistics of ", statistics.size());
  if (!covariances.empty()) require_depth("covariances of ", covariances.size());
  for (std::size_t i = 0; i < depth; ++i) {
    if (statistics[i].features() == config.hidden_widths[i]) continue;
    throw ShapeError(VisionTransformer<T>::block_name(static_cast<Index>(i)) + ": statistics of " +
                     std::to_string(statistics[i].features()) + " features for " +
                     std::to_string(config.hidden_widths[i]) + " hidden neurons");
  }
  // On a copy, small beside the activations: what a later block refuses the earlier ones must not have
  // counted.
  std::vector<Statistics<double>> seen = statistics;
  Matrix<T> logits = inference(images, [&](Index block, const MatrixView<T>& hidden) {
    const auto b = static_cast<std::size_t>(block);
    try {
      seen[b].observe(hidden, inference.pool());
      if (!covariances.empty()) covariances[b].observe(hidden, inference.pool());
    } catch (const ValueError& error) {
      throw ValueError(VisionTransformer<T>::block_name(block) + ": " + error.what());
    }
  });
  statistics.swap(seen);
  return logits;
}

}  // namespace vbp
