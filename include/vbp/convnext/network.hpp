#pragma once
/// A ConvNeXt as steps on its residual stream: what lets prune/ walk it without knowing it.

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/convnext/inference.hpp"
#include "vbp/convnext/model.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/model/execution.hpp"
#include "vbp/prune/network.hpp"

namespace vbp {

/// Models ResidualNetwork over a ConvNext, which it changes and which must outlive it: a row of the stream is
/// a pixel. Each block is an mlp step, whose inputs are the normalised depthwise convolution of the stream;
/// between two stages lies a transition. Throws what model.validate() throws.
template <class T>
class ConvNextNetwork {
 public:
  using Scalar = T;
  using Block = FeedForward<T>;

  explicit ConvNextNetwork(ConvNext<T>& model, InferenceOptions options = {})
      : model_(model), ends_(model, options), workspace_(options.threads) {
    const ConvNextConfig& config = model.config;
    const std::vector<std::string> names = block_names(config);
    for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
      if (stage > 0) steps_.push_back({"stages." + std::to_string(stage) + ".downsample", stage, -1});
      for (; b < config.first_block(stage + 1); ++b) {
        steps_.push_back({names[static_cast<std::size_t>(b)], stage, b});
      }
    }
  }

  Index steps() const noexcept { return static_cast<Index>(steps_.size()); }
  StepKind kind(Index step) const noexcept {
    return at(step).block < 0 ? StepKind::transition : StepKind::mlp;
  }
  std::string name(Index step) const { return at(step).name; }
  Index layers(Index) const noexcept { return 2; }
  /// Of the stream that enters the step.
  Index rows_per_sample(Index step) const noexcept {
    return model_.config.pixels(at(step).block < 0 ? at(step).stage - 1 : at(step).stage);
  }
  FeedForward<T>& block(Index step) {
    packed_step_ = -1;
    return model_.blocks[static_cast<std::size_t>(at(step).block)];
  }
  kernels::Workspace<T>& workspace() noexcept { return workspace_; }

  const Matrix<T>& weight(Index step, Index layer) const { return linear(step, layer).weight; }
  const Vector<T>& bias(Index step, Index layer) const { return linear(step, layer).bias; }
  /// The layer scale of a step, empty where the model has none.
  const Vector<T>& scale(Index step) const { return block_of(step).layer_scale; }

  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    Linear<T>& target = layer == 0 ? block(step).fc1 : block(step).fc2;
    target.weight = weight.cast<T>();
    target.bias = bias.cast<T>();
  }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    pack(step);
    const Index rows = stream.rows();
    const Index dim = stream.cols();
    const Index side = model_.config.side(at(step).stage);
    Matrix<T>& normal = layer == 0 ? out : normal_;
    normal.resize(rows, dim);
    kernels::depthwise_7x7(stream.data(), stream.outerStride(), rows / (side * side), side, side, dim,
                           depthwise_.weight.data(), depthwise_.bias.data(), normal.data(), dim, workspace_);
    detail::normalise(block_of(step).norm, model_.config.epsilon, normal.data(), dim, rows, normal.data(),
                      dim, workspace_);
    if (layer == 0) return;
    out.resize(rows, packed_[0].weight.out());
    detail::multiply(normal.data(), dim, rows, packed_[0],
                     {.kind = detail::epilogue_of(model_.config.activation)}, out.data(), out.cols(),
                     workspace_);
  }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    if (kind(step) == StepKind::transition) {
      out = ends_.downsampled(at(step).stage, stream);
      return;
    }
    inputs(step, 1, stream, features_);
    out.resize(stream.rows(), stream.cols());
    detail::multiply(features_.data(), features_.cols(), stream.rows(), packed_[1],
                     {.kind = kernels::EpilogueKind::scaled_residual,
                      .scale = detail::data_or_null(scale(step)),
                      .residual = stream.data(),
                      .residual_stride = stream.outerStride()},
                     out.data(), out.cols(), workspace_);
  }

  /// The MLP's activation, in place.
  void activate(Index, T* values, Index count) const noexcept {
    detail::activate(model_.config.activation, values, count);
  }

  /// The stream [n * pixels of the first stage, dim] that enters step 0.
  Matrix<T> start(const MatrixView<T>& images) { return ends_.embedded(images); }

  /// The model's output for the stream that leaves the last step.
  void outputs(const MatrixView<T>& stream, Matrix<T>& out) { out = ends_.outputs_of(stream); }

 private:
  struct Step {
    std::string name;
    Index stage;  ///< of the block, or that a transition leads to
    Index block;  ///< -1 for a transition
  };

  const Step& at(Index step) const noexcept { return steps_[static_cast<std::size_t>(step)]; }
  const ConvNextBlock<T>& block_of(Index step) const {
    return model_.blocks[static_cast<std::size_t>(at(step).block)];
  }
  const Linear<T>& linear(Index step, Index layer) const {
    return layer == 0 ? block_of(step).fc1 : block_of(step).fc2;
  }

  /// Weights of one step are packed at a time, when it is first run after a change.
  void pack(Index step) {
    if (packed_step_ == step) return;
    for (Index i = 0; i < 2; ++i) packed_[static_cast<std::size_t>(i)] = detail::pack(linear(step, i));
    depthwise_ = detail::channels_last(block_of(step).depthwise);
    packed_step_ = step;
  }

  ConvNext<T>& model_;
  ConvNextInference<T> ends_;
  kernels::Workspace<T> workspace_;
  std::vector<Step> steps_;
  std::array<detail::PackedLinear<T>, 2> packed_;
  Linear<T> depthwise_;
  Index packed_step_ = -1;
  Matrix<T> normal_, features_;
};

static_assert(ResidualNetwork<ConvNextNetwork<float>>);

}  // namespace vbp
