#pragma once
/// A Vision Transformer as steps on its residual stream.

#include <utility>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a VisionTransformer, which it changes and which must outlive it: step 2 l is
/// the attention of block l (layers qkv and proj), step 2 l + 1 its MLP. Throws what model.validate() throws.
template <class T>
class VitSteps : public detail::ResidualSteps<VitSteps<T>, VisionTransformer<T>> {
  using Base = detail::ResidualSteps<VitSteps<T>, VisionTransformer<T>>;

 public:
  explicit VitSteps(VisionTransformer<T>& model, Context context = {})
      : Base(model, std::move(context), {{".attn", StepKind::branch}, {".mlp", StepKind::mlp}}) {}

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    const VitConfig& config = this->model_.config;
    this->transformer_inputs(step, layer, stream, out, [&](const Matrix<T>& qkv, Matrix<T>& to) {
      kernels::attention(qkv.data(), stream.rows() / config.tokens(), config.tokens(), config.heads,
                         config.head_dim(), to.data(), this->workspace_);
    });
  }

 private:
  friend Base;

  void prepare(Index) noexcept {}
};

}  // namespace vbp::inline VBP_ABI
