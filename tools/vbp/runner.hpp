#pragma once
/// A model of any family made ready to run.

#include <memory>
#include <span>
#include <vector>

#include "model.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"

namespace tool {

/// vbp::Inference or its counterpart of another family; runner.cpp alone compiles them.
class Runner {
 public:
  virtual ~Runner() = default;

  /// For images [n, image_elements] the logits, or without a head the pooled features.
  virtual vbp::Matrix<float> operator()(const vbp::MatrixView<float>& images) = 0;
  /// The same into memory of the caller: allocates nothing once a batch of this size was seen.
  virtual void run(const vbp::MatrixView<float>& images, float* outputs) = 0;
  /// As vbp::observe_hidden.
  virtual void observe(const vbp::MatrixView<float>& images, std::vector<vbp::Statistics<double>>& statistics,
                       std::span<vbp::Covariance<float>> covariances, vbp::Index first) = 0;
  /// The residual stream that enters the first block, [n * stream_rows, dim].
  virtual vbp::Matrix<float> embedded(const vbp::MatrixView<float>& images) = 0;
  /// Adds the time that each kind of layer takes in run() to `seconds` from now on.
  virtual void record(vbp::LayerSeconds* seconds) = 0;
  virtual vbp::ThreadPool& pool() = 0;
};

std::unique_ptr<Runner> make_runner(const Model& model, int threads);

}  // namespace tool
