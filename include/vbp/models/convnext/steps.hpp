#pragma once
/// A ConvNeXt as steps on its residual stream.

#include <utility>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/residual_steps.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a ConvNext, which it changes and which must outlive it. Each block is an mlp
/// step, whose inputs are the normalised depthwise convolution of the stream. Throws what model.validate()
/// throws.
template <class T>
class ConvNextSteps : public detail::ResidualSteps<ConvNextSteps<T>, ConvNext<T>> {
  using Base = detail::ResidualSteps<ConvNextSteps<T>, ConvNext<T>>;

 public:
  explicit ConvNextSteps(ConvNext<T>& model, Context context = {})
      : Base(model, std::move(context), {{"", StepKind::mlp}}) {}

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
  friend Base;

  void prepare(Index step) { depthwise_ = detail::channels_last(this->block_of(step).depthwise); }

  Linear<T> depthwise_;  ///< of the step that is packed
};

}  // namespace vbp::inline VBP_ABI
