#pragma once
/// A Swin Transformer as steps on its residual stream.

#include <utility>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a SwinTransformer, which it changes and which must outlive it. Each block is a
/// branch, its attention (layers qkv and proj), and an mlp step. Throws what model.validate() throws.
template <class T>
class SwinSteps : public detail::ResidualSteps<SwinSteps<T>, SwinTransformer<T>> {
  using Base = detail::ResidualSteps<SwinSteps<T>, SwinTransformer<T>>;

 public:
  explicit SwinSteps(SwinTransformer<T>& model, Context context = {})
      : Base(model, std::move(context), {{".attn", StepKind::branch}, {".mlp", StepKind::mlp}}) {}

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    this->transformer_inputs(step, layer, stream, out, [&](const Matrix<T>& qkv, Matrix<T>& to) {
      kernels::window_attention(qkv.data(), stream.rows() / this->rows_per_sample(step), windows_,
                                padding_.data(), to.data(), to.cols(), this->workspace_);
    });
  }

 private:
  friend Base;

  void prepare(Index step) {
    if (this->kind(step) != StepKind::branch) return;
    const SwinBlock<T>& block = this->block_of(step);
    windows_ = detail::pack_windows(this->model_.config, this->at(step).block, block.position_bias);
    padding_ = detail::padding_of(block.qkv);
  }

  kernels::PackedWindows<T> windows_;
  Vector<T> padding_;
};

}  // namespace vbp::inline VBP_ABI
