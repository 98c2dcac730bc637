#pragma once
/// A Swin Transformer as steps on its residual stream: what lets prune/ walk it without knowing it.

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a SwinTransformer, which it changes and which must outlive it: a row of the
/// stream is a pixel. Each block is a branch, its attention (layers qkv and proj), and an mlp step; between
/// two stages lies a transition. Throws what model.validate() throws.
template <class T>
class SwinNetwork : public detail::StageSteps<SwinNetwork<T>, SwinTransformer<T>, SwinInference<T>> {
  using Base = detail::StageSteps<SwinNetwork<T>, SwinTransformer<T>, SwinInference<T>>;

 public:
  explicit SwinNetwork(SwinTransformer<T>& model, InferenceOptions options = {})
      : Base(model, options, {{".attn", StepKind::branch}, {".mlp", StepKind::mlp}}) {}

  /// Empty: there is no layer scale.
  const Vector<T>& scale(Index) const noexcept { return no_scale_; }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    const SwinBlock<T>& of = this->block_of(step);
    this->inputs_behind(this->kind(step) == StepKind::mlp ? of.norm2 : of.norm1, step, layer, stream, out,
                        [&](const Matrix<T>& qkv, Matrix<T>& to) {
                          kernels::window_attention(qkv.data(), stream.rows() / this->rows_per_sample(step),
                                                    windows_, padding_.data(), to.data(), to.cols(),
                                                    this->workspace_);
                        });
  }

 private:
  friend detail::BranchSteps<SwinNetwork<T>, SwinTransformer<T>, SwinInference<T>>;
  friend Base;

  Matrix<T> transition(Index stage, const MatrixView<T>& stream) { return this->ends_.merged(stage, stream); }

  const Linear<T>& linear(Index step, Index layer) const {
    const SwinBlock<T>& of = this->block_of(step);
    if (this->kind(step) == StepKind::mlp) return layer == 0 ? of.fc1 : of.fc2;
    return layer == 0 ? of.qkv : of.proj;
  }

  void prepare(Index step) {
    if (this->kind(step) != StepKind::branch) return;
    const SwinBlock<T>& of = this->block_of(step);
    windows_ = detail::pack_windows(this->model_.config, this->at(step).block, of.position_bias);
    padding_ = detail::padding_of(of.qkv);
  }

  kernels::PackedWindows<T> windows_;
  Vector<T> padding_;
  Vector<T> no_scale_;
};

static_assert(ResidualNetwork<SwinNetwork<float>>);

}  // namespace vbp::inline VBP_ABI
