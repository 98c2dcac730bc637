#pragma once
/// Runs a model of any family:
///
///     const auto inference = vbp::make_inference(model);
///     vbp::Matrix<float> logits = (*inference)(pixels);  // pixels [n, channels * size * size], normalised

#include <memory>
#include <span>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/stats/covariance.hpp"
#include "vbp/stats/statistics.hpp"

namespace vbp::inline VBP_ABI {

/// The forward pass of a model whose family is known only at run time. It keeps no reference to the model.
/// Only one thread at a time may use an object.
class AnyInference {
 public:
  AnyInference() = default;
  AnyInference(const AnyInference&) = delete;
  AnyInference& operator=(const AnyInference&) = delete;
  virtual ~AnyInference() = default;

  /// Returns the logits of images [n, image_elements], or the pooled features if the model has no head.
  virtual Matrix<float> operator()(const MatrixView<float>& images) = 0;
  /// The same into the caller's memory, [n, outputs]. After the first batch of a size, it allocates nothing
  /// for further batches of that size.
  virtual void run(const MatrixView<float>& images, MutableMatrixView<float> outputs) = 0;
  /// Adds the hidden activations of the images to the statistics of each block. Also adds them to
  /// `covariances`, whose first element belongs to the block `first`. See observe_hidden.
  virtual void observe(const MatrixView<float>& images, std::vector<Statistics<double>>& statistics,
                       std::span<Covariance<float>> covariances, Index first) = 0;
  /// The input of the first block: the residual stream, [n * stream_rows, stream_dim].
  virtual Matrix<float> embedded(const MatrixView<float>& images) = 0;
  /// From now on, run() adds the time of each kind of layer to `seconds`. A null pointer ends this.
  virtual void record(LayerSeconds* seconds) = 0;
  virtual const Context& context() const = 0;
};

/// Packs the model's weights for running. Throws ShapeError or ValueError if the model's configuration and
/// weights contradict each other.
VBP_FUNCTION std::unique_ptr<AnyInference> make_inference(const AnyModel& model, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/inference-inl.hpp"
#endif
