#pragma once
/// A Swin Transformer as steps on its residual stream: what lets prune/ walk it without knowing it.

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/model/execution.hpp"
#include "vbp/prune/network.hpp"
#include "vbp/swin/inference.hpp"
#include "vbp/swin/model.hpp"

namespace vbp {

/// Models ResidualNetwork over a SwinTransformer, which it changes and which must outlive it: a row of the
/// stream is a pixel. Each block is a branch, its attention (layers qkv and proj), and an mlp step; between
/// two stages lies a transition. Throws what model.validate() throws.
template <class T>
class SwinNetwork {
 public:
  using Scalar = T;
  using Block = FeedForward<T>;

  explicit SwinNetwork(SwinTransformer<T>& model, InferenceOptions options = {})
      : model_(model), ends_(model, options), workspace_(options.threads) {
    const SwinConfig& config = model.config;
    const std::vector<std::string> names = block_names(config);
    for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
      if (stage > 0) {
        steps_.push_back(
            {"layers." + std::to_string(stage) + ".downsample", StepKind::transition, stage, -1});
      }
      for (; b < config.first_block(stage + 1); ++b) {
        const std::string& name = names[static_cast<std::size_t>(b)];
        steps_.push_back({name + ".attn", StepKind::branch, stage, b});
        steps_.push_back({name + ".mlp", StepKind::mlp, stage, b});
      }
    }
  }

  Index steps() const noexcept { return static_cast<Index>(steps_.size()); }
  StepKind kind(Index step) const noexcept { return at(step).kind; }
  std::string name(Index step) const { return at(step).name; }
  Index layers(Index) const noexcept { return 2; }
  /// Of the stream that enters the step.
  Index rows_per_sample(Index step) const noexcept {
    return model_.config.pixels(at(step).kind == StepKind::transition ? at(step).stage - 1 : at(step).stage);
  }
  FeedForward<T>& block(Index step) {
    packed_step_ = -1;
    return model_.blocks[static_cast<std::size_t>(at(step).block)];
  }
  kernels::Workspace<T>& workspace() noexcept { return workspace_; }

  const Matrix<T>& weight(Index step, Index layer) const { return linear(step, layer).weight; }
  /// Zeros where the layer has none (q, k and v of some models).
  Vector<T> bias(Index step, Index layer) const {
    const Linear<T>& found = linear(step, layer);
    return found.bias.size() > 0 ? found.bias : Vector<T>(Vector<T>::Zero(found.weight.rows()));
  }
  /// Empty: there is no layer scale.
  const Vector<T>& scale(Index) const noexcept { return no_scale_; }

  /// A layer that had no bias gets none: it cannot be saved, and loses only the mean of what was fitted.
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    Linear<T>& target = const_cast<Linear<T>&>(linear(step, layer));
    target.weight = weight.cast<T>();
    if (target.bias.size() > 0) target.bias = bias.cast<T>();
    packed_step_ = -1;
  }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    const SwinBlock<T>& of = block_of(step);
    const bool mlp = kind(step) == StepKind::mlp;
    Matrix<T>& normal = layer == 0 ? out : normal_;
    normal.resize(stream.rows(), stream.cols());
    detail::normalise(mlp ? of.norm2 : of.norm1, model_.config.epsilon, stream.data(), stream.outerStride(),
                      stream.rows(), normal.data(), normal.cols(), workspace_);
    if (layer == 0) return;
    if (mlp) {
      multiply(step, 0, normal_, {.kind = detail::epilogue_of(model_.config.activation)}, out);
      return;
    }
    multiply(step, 0, normal_, {}, wide_);
    out.resize(stream.rows(), stream.cols());
    kernels::window_attention(wide_.data(), stream.rows() / rows_per_sample(step), windows_, padding_.data(),
                              out.data(), out.cols(), workspace_);
  }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    if (kind(step) == StepKind::transition) {
      out = ends_.merged(at(step).stage, stream);
      return;
    }
    inputs(step, 1, stream, features_);
    multiply(step, 1, features_,
             {.kind = kernels::EpilogueKind::scaled_residual,
              .residual = stream.data(),
              .residual_stride = stream.outerStride()},
             out);
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
    StepKind kind;
    Index stage;  ///< of the block, or that a transition leads to
    Index block;  ///< -1 for a transition
  };

  const Step& at(Index step) const noexcept { return steps_[static_cast<std::size_t>(step)]; }
  const SwinBlock<T>& block_of(Index step) const {
    return model_.blocks[static_cast<std::size_t>(at(step).block)];
  }
  const Linear<T>& linear(Index step, Index layer) const {
    const SwinBlock<T>& of = block_of(step);
    if (kind(step) == StepKind::mlp) return layer == 0 ? of.fc1 : of.fc2;
    return layer == 0 ? of.qkv : of.proj;
  }

  /// Weights of one step are packed at a time, when it is first run after a change.
  void multiply(Index step, Index layer, const Matrix<T>& a, kernels::Epilogue<T> epilogue, Matrix<T>& out) {
    if (packed_step_ != step) {
      for (Index i = 0; i < 2; ++i) {
        packed_[static_cast<std::size_t>(i)] = detail::pack(linear(step, i));
      }
      if (kind(step) == StepKind::branch) {
        const SwinBlock<T>& of = block_of(step);
        windows_ = detail::pack_windows(model_.config, at(step).block, of.position_bias);
        padding_ = detail::padding_of(of.qkv);
      }
      packed_step_ = step;
    }
    const detail::PackedLinear<T>& packed = packed_[static_cast<std::size_t>(layer)];
    out.resize(a.rows(), packed.weight.out());
    detail::multiply(a.data(), a.cols(), a.rows(), packed, epilogue, out.data(), out.cols(), workspace_);
  }

  SwinTransformer<T>& model_;
  SwinInference<T> ends_;
  kernels::Workspace<T> workspace_;
  std::vector<Step> steps_;
  std::array<detail::PackedLinear<T>, 2> packed_;
  kernels::PackedWindows<T> windows_;
  Vector<T> padding_;
  Index packed_step_ = -1;
  Matrix<T> normal_, wide_, features_;
  Vector<T> no_scale_;
};

static_assert(ResidualNetwork<SwinNetwork<float>>);

}  // namespace vbp
