#pragma once
/// A Vision Transformer as steps on its residual stream: what lets prune/ walk it without knowing it.

#include <array>
#include <string>
#include <utility>

#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/model/execution.hpp"
#include "vbp/prune/network.hpp"
#include "vbp/vit/inference.hpp"
#include "vbp/vit/model.hpp"

namespace vbp {

/// Models ResidualNetwork over a VisionTransformer, which it changes and which must outlive it: step 2 l is
/// the attention of block l (layers qkv and proj), step 2 l + 1 its MLP. Throws what model.validate() throws.
template <class T>
class VitNetwork {
 public:
  using Scalar = T;
  using Block = VitBlock<T>;

  explicit VitNetwork(VisionTransformer<T>& model, InferenceOptions options = {})
      : model_(model), ends_(model, options), workspace_(options.threads) {}

  Index steps() const noexcept { return 2 * model_.config.depth(); }
  StepKind kind(Index step) const noexcept { return is_mlp(step) ? StepKind::mlp : StepKind::branch; }
  std::string name(Index step) const {
    return VisionTransformer<T>::block_name(step / 2) + (is_mlp(step) ? ".mlp" : ".attn");
  }
  Index layers(Index) const noexcept { return 2; }
  Index rows_per_sample(Index) const noexcept { return model_.config.tokens(); }
  VitBlock<T>& block(Index step) {
    packed_step_ = -1;
    return model_.blocks[static_cast<std::size_t>(step / 2)];
  }
  kernels::Workspace<T>& workspace() noexcept { return workspace_; }

  const Matrix<T>& weight(Index step, Index layer) const { return linear(step, layer).weight; }
  /// Zeros where the layer has none (q, k and v of some models).
  Vector<T> bias(Index step, Index layer) const {
    const Linear<T>& found = linear(step, layer);
    return found.bias.size() > 0 ? found.bias : Vector<T>(Vector<T>::Zero(found.weight.rows()));
  }
  /// The layer scale of a step, empty where the model has none.
  const Vector<T>& scale(Index step) const {
    const VitBlock<T>& of = model_.blocks[static_cast<std::size_t>(step / 2)];
    return is_mlp(step) ? of.layer_scale2 : of.layer_scale1;
  }

  /// A layer that had no bias gets none: it cannot be saved, and loses only the mean of what was fitted.
  void set_layer(Index step, Index layer, const Matrix<double>& weight, const Vector<double>& bias) {
    Linear<T>& target = const_cast<Linear<T>&>(linear(step, layer));
    target.weight = weight.cast<T>();
    if (target.bias.size() > 0) target.bias = bias.cast<T>();
    packed_step_ = -1;
  }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    const VitBlock<T>& of = model_.blocks[static_cast<std::size_t>(step / 2)];
    const LayerNorm<T>& norm = is_mlp(step) ? of.norm2 : of.norm1;
    Matrix<T>& normal = layer == 0 ? out : normal_;
    normal.resize(stream.rows(), stream.cols());
    detail::normalise(norm, model_.config.epsilon, stream.data(), stream.outerStride(), stream.rows(),
                      normal.data(), normal.cols(), workspace_);
    if (layer == 0) return;
    if (is_mlp(step)) {
      multiply(step, 0, normal_, {.kind = detail::epilogue_of(model_.config.activation)}, out);
      return;
    }
    multiply(step, 0, normal_, {}, wide_);
    out.resize(stream.rows(), stream.cols());
    kernels::attention(wide_.data(), stream.rows() / model_.config.tokens(), model_.config.tokens(),
                       model_.config.heads, model_.config.head_dim(), out.data(), workspace_);
  }

  /// The stream [rows, dim] after the step.
  void run(Index step, const MatrixView<T>& stream, Matrix<T>& out) {
    inputs(step, 1, stream, features_);
    multiply(step, 1, features_,
             {.kind = kernels::EpilogueKind::scaled_residual,
              .scale = detail::data_or_null(scale(step)),
              .residual = stream.data(),
              .residual_stride = stream.outerStride()},
             out);
  }

  /// The MLP's activation, in place.
  void activate(Index, T* values, Index count) const noexcept {
    detail::activate(model_.config.activation, values, count);
  }

  /// The stream [n * tokens, dim] that enters step 0.
  Matrix<T> start(const MatrixView<T>& images) { return ends_.embedded(images); }

  /// The model's output for the stream that leaves the last step.
  void outputs(const MatrixView<T>& stream, Matrix<T>& out) { out = ends_.outputs_of(stream); }

 private:
  static bool is_mlp(Index step) noexcept { return step % 2 == 1; }

  const Linear<T>& linear(Index step, Index layer) const {
    const VitBlock<T>& of = model_.blocks[static_cast<std::size_t>(step / 2)];
    if (is_mlp(step)) return layer == 0 ? of.fc1 : of.fc2;
    return layer == 0 ? of.qkv : of.proj;
  }

  /// Weights of one step are packed at a time, when it is first run after a change.
  void multiply(Index step, Index layer, const Matrix<T>& a, kernels::Epilogue<T> epilogue, Matrix<T>& out) {
    if (packed_step_ != step) {
      for (Index i = 0; i < 2; ++i) {
        packed_[static_cast<std::size_t>(i)] = detail::pack(linear(step, i));
      }
      packed_step_ = step;
    }
    const detail::PackedLinear<T>& packed = packed_[static_cast<std::size_t>(layer)];
    out.resize(a.rows(), packed.weight.out());
    detail::multiply(a.data(), a.cols(), a.rows(), packed, epilogue, out.data(), out.cols(), workspace_);
  }

  VisionTransformer<T>& model_;
  Inference<T> ends_;
  kernels::Workspace<T> workspace_;
  std::array<detail::PackedLinear<T>, 2> packed_;
  Index packed_step_ = -1;
  Matrix<T> normal_, wide_, features_;
};

static_assert(ResidualNetwork<VitNetwork<float>>);

}  // namespace vbp
