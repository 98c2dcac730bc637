#pragma once
/// Models as steps on a residual stream, which lets prune/ walk them without knowing them.

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/transformer_block.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A model `M` as a ResidualNetwork: every block is one or two branches of two linear layers, and between two
/// stages lies a transition. It changes the model, which must outlive it. A row of the stream is a token, or
/// a pixel. `Family` is derived from it and has inputs(step, layer, stream, out), and prepare(step), which
/// makes ready what a step needs beside its packed linear layers.
template <class Family, class M>
class ResidualSteps {
 public:
  using Scalar = typename M::Scalar;
  using T = Scalar;
  using Block = Mlp<T>;

  Index steps() const noexcept { return static_cast<Index>(steps_.size()); }
  StepKind kind(Index step) const noexcept { return at(step).kind; }
  std::string name(Index step) const { return at(step).name; }
  Index layers(Index) const noexcept { return 2; }
  kernels::Workspace<T>& workspace() noexcept { return workspace_; }

  /// Rows of one image in the stream that enters the step.
  Index rows_per_sample(Index step) const noexcept {
    if constexpr (StageModelType<M>) {
      return model_.config.pixels(kind(step) == StepKind::transition ? at(step).stage - 1 : at(step).stage);
    } else {
      return model_.config.tokens();
    }
  }

  Mlp<T>& block(Index step) {
    packed_step_ = -1;
    return model_.blocks[static_cast<std::size_t>(at(step).block)];
  }

  const Matrix<T>& weight(Index step, Index layer) const { return linear(step, layer).weight; }
  /// Zeros where the layer has no bias (the queries, keys and values of some models).
  Vector<T> bias(Index step, Index layer) const {
    const Linear<T>& found = linear(step, layer);
    return found.bias.size() > 0 ? found.bias : Vector<T>(Vector<T>::Zero(found.weight.rows()));
  }
  /// The layer scale of a step, empty where the model has none.
  const Vector<T>& scale(Index step) const {
    const auto& block = block_of(step);
    if constexpr (requires { block.layer_scale1; }) {
      if (kind(step) == StepKind::branch) return block.layer_scale1;
    }
    return block.output_scale();
  }

  /// Replaces a linear layer. The format of checkpoints cannot store a bias where the layer had none, so that
  /// the fitted bias is dropped there; only the mean of what was fitted is lost.
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    Linear<T>& target = const_cast<Linear<T>&>(linear(step, layer));
    target.weight = weight.cast<T>();
    if (target.bias.size() > 0) target.bias = bias.cast<T>();
    packed_step_ = -1;
  }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    if constexpr (StageModelType<M>) {
      if (kind(step) == StepKind::transition) {
        out = inference_.after_transition(at(step).stage, stream);
        return;
      }
    }
    family().inputs(step, 1, stream, features_);
    out.resize(stream.rows(), stream.cols());
    add_output(step, features_, stream, out.data());
  }

  /// Adds what the step's last layer makes of its inputs [rows, in] to the stream [rows, dim].
  void add_output(Index step, const MatrixView<T>& features, Eigen::Map<Matrix<T>> stream) {
    add_output(step, features, stream, stream.data());
  }

  /// The MLP's activation, in place.
  void activate(Index, T* values, Index count) const noexcept {
    detail::activate(model_.config.activation, values, count);
  }

  /// The stream that enters step 0.
  Matrix<T> start(const MatrixView<T>& images) { return inference_.embedded(images); }

  /// The model's output for the stream that leaves the last step.
  void outputs(const MatrixView<T>& stream, Matrix<T>& out) { out = inference_.outputs_of(stream); }

 protected:
  struct Step {
    std::string name;
    StepKind kind;
    Index stage;  ///< of the block, or that a transition leads to; 0 without stages
    Index block;  ///< -1 for a transition
  };

  /// `branches` are the steps of each block: what is appended to the block's name, and their kind.
  ResidualSteps(M& model, Context context, std::initializer_list<std::pair<const char*, StepKind>> branches)
      : model_(model), inference_(model, context), workspace_(std::move(context)) {
    const std::vector<std::string> names = block_names(model.config);
    for (Index b = 0; b < static_cast<Index>(names.size()); ++b) {
      Index stage = 0;
      if constexpr (StageModelType<M>) {
        stage = model.config.stage_of(b);
        if (b > 0 && b == model.config.first_block(stage)) {
          steps_.push_back({transition_name(model.config, stage), StepKind::transition, stage, -1});
        }
      }
      for (const auto& [ending, kind] : branches) {
        steps_.push_back({names[static_cast<std::size_t>(b)] + ending, kind, stage, b});
      }
    }
  }

  const Step& at(Index step) const noexcept { return steps_[static_cast<std::size_t>(step)]; }
  const auto& block_of(Index step) const { return model_.blocks[static_cast<std::size_t>(at(step).block)]; }

  /// Packs the weights of one step at a time, when it is first run after a change.
  void pack(Index step) {
    if (packed_step_ == step) return;
    for (Index i = 0; i < 2; ++i) {
      const Linear<T>& layer = linear(step, i);
      PackedLinear<T>& packed = packed_[static_cast<std::size_t>(i)];
      packed.weight.assign(layer.weight, workspace_.pool());
      packed.bias = layer.bias;
    }
    family().prepare(step);
    packed_step_ = step;
  }

  /// The step's first layer.
  void multiply(Index step, const Matrix<T>& a, kernels::Epilogue<T> epilogue, Matrix<T>& out) {
    pack(step);
    out.resize(a.rows(), packed_[0].weight.out());
    detail::multiply(a.data(), a.cols(), a.rows(), packed_[0], epilogue, out.data(), out.cols(), workspace_);
  }

  /// What a layer of a transformer's attention or MLP reads. attend(qkv, out) is the family's attention.
  template <class Attend>
  void transformer_inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out,
                          Attend&& attend) {
    const TransformerBlock<T>& block = block_of(step);
    const bool mlp = kind(step) == StepKind::mlp;
    Matrix<T>& normal = layer == 0 ? out : normal_;
    normal.resize(stream.rows(), stream.cols());
    normalise(mlp ? block.norm2 : block.norm1, model_.config.epsilon, stream.data(), stream.outerStride(),
              stream.rows(), normal.data(), normal.cols(), workspace_);
    if (layer == 0) return;
    if (mlp) {
      multiply(step, normal_, {.kind = epilogue_of(model_.config.activation)}, out);
      return;
    }
    multiply(step, normal_, {}, qkv_);
    out.resize(stream.rows(), stream.cols());
    attend(qkv_, out);
  }

  M& model_;
  typename M::Inference inference_;  ///< runs what is no step on a block
  kernels::Workspace<T> workspace_;
  Matrix<T> normal_;

 private:
  Family& family() noexcept { return static_cast<Family&>(*this); }

  const Linear<T>& linear(Index step, Index layer) const {
    const auto& block = block_of(step);
    if constexpr (requires { block.qkv; }) {
      if (kind(step) == StepKind::branch) return layer == 0 ? block.qkv : block.proj;
    }
    return layer == 0 ? block.fc1 : block.fc2;
  }

  /// Writes to `out`, without gaps between rows; it may be the stream.
  void add_output(Index step, const MatrixView<T>& features, const MatrixView<T>& stream, T* out) {
    pack(step);
    detail::multiply(features.data(), features.outerStride(), features.rows(), packed_[1],
                     {.kind = kernels::EpilogueKind::scaled_residual,
                      .scale = data_or_null(scale(step)),
                      .residual = stream.data(),
                      .residual_stride = stream.outerStride()},
                     out, stream.cols(), workspace_);
  }

  std::vector<Step> steps_;
  std::array<PackedLinear<T>, 2> packed_;
  Index packed_step_ = -1;
  Matrix<T> qkv_, features_;
};

}  // namespace vbp::inline VBP_ABI::detail
