#pragma once
/// Statistics of a Vision Transformer's hidden activations: what calibration gathers.

#include <string>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
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

/// The blocks' names, in order: those of reports, plans and calibration files.
inline std::vector<std::string> block_names(const VitConfig& config) {
  std::vector<std::string> names;
  for (Index i = 0; i < config.depth(); ++i) names.push_back(VisionTransformer<float>::block_name(i));
  return names;
}

/// Runs images [n, channels * size * size] and adds every token's hidden activations (after GELU; class,
/// distillation and register tokens too) to the statistics of its block. Returns the logits.
/// Throws ValueError, naming block and neuron, if an activation is NaN or infinite.
template <class T>
Matrix<T> observe_hidden(Inference<T>& inference, const MatrixView<T>& images,
                         std::vector<Statistics<double>>& statistics) {
  if (static_cast<Index>(statistics.size()) != inference.config().depth()) {
    throw ShapeError("statistics of " + std::to_string(statistics.size()) + " blocks for a model of " +
                     std::to_string(inference.config().depth()));
  }
  return inference(images, [&](Index block, const MatrixView<T>& hidden) {
    try {
      statistics[static_cast<std::size_t>(block)].observe(hidden, inference.pool());
    } catch (const ValueError& error) {
      throw ValueError(VisionTransformer<T>::block_name(block) + ": " + error.what());
    }
  });
}

}  // namespace vbp
