#pragma once
/// A ConvNeXt as steps on its residual stream: what lets prune/ walk it without knowing it.

#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a ConvNext, which it changes and which must outlive it: a row of the stream is
/// a pixel. Each block is an mlp step, whose inputs are the normalised depthwise convolution of the stream;
/// between two stages lies a transition. Throws what model.validate() throws.
template <class T>
class ConvNextNetwork : public detail::StageSteps<ConvNextNetwork<T>, ConvNext<T>, ConvNextInference<T>> {
  using Base = detail::StageSteps<ConvNextNetwork<T>, ConvNext<T>, ConvNextInference<T>>;

 public:
  explicit ConvNextNetwork(ConvNext<T>& model, InferenceOptions options = {})
      : Base(model, options, {{"", StepKind::mlp}}) {}

  /// The layer scale of a step, empty where the model has none.
  const Vector<T>& scale(Index step) const { return this->block_of(step).layer_scale; }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    this->pack(step);
    const ConvNextConfig& config = this->model_.config;
    const Index rows = stream.rows();
    const Index dim = stream.cols();
    const Index side = config.side(this->at(step).stage);
    Matrix<T>& normal = layer == 0 ? out : this->normal_;
    normal.resize(rows, dim);
    kernels::depthwise_7x7(stream.data(), stream.outerStride(), rows / (side * side), side, side, dim,
                           depthwise_.weight.data(), depthwise_.bias.data(), normal.data(), dim,
                           this->workspace_);
    detail::normalise(this->block_of(step).norm, config.epsilon, normal.data(), dim, rows, normal.data(), dim,
                      this->workspace_);
    if (layer == 0) return;
    this->multiply(step, normal, {.kind = detail::epilogue_of(config.activation)}, out);
  }

 private:
  friend detail::BranchSteps<ConvNextNetwork<T>, ConvNext<T>, ConvNextInference<T>>;
  friend Base;

  Matrix<T> transition(Index stage, const MatrixView<T>& stream) {
    return this->ends_.downsampled(stage, stream);
  }

  const Linear<T>& linear(Index step, Index layer) const {
    return layer == 0 ? this->block_of(step).fc1 : this->block_of(step).fc2;
  }

  void prepare(Index step) { depthwise_ = detail::channels_last(this->block_of(step).depthwise); }

  Linear<T> depthwise_;  ///< of the step that is packed
};

static_assert(ResidualNetwork<ConvNextNetwork<float>>);

}  // namespace vbp::inline VBP_ABI
