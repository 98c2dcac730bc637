#pragma once
/// A Vision Transformer as steps on its residual stream: what lets prune/ walk it without knowing it.

#include <cstddef>
#include <string>

#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/residual_steps.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/model.hpp"
#include "vbp/prune/residual_network.hpp"

namespace vbp::inline VBP_ABI {

/// Models ResidualNetwork over a VisionTransformer, which it changes and which must outlive it: step 2 l is
/// the attention of block l (layers qkv and proj), step 2 l + 1 its MLP. Throws what model.validate() throws.
template <class T>
class VitNetwork : public detail::BranchSteps<VitNetwork<T>, VisionTransformer<T>, VitInference<T>> {
  using Base = detail::BranchSteps<VitNetwork<T>, VisionTransformer<T>, VitInference<T>>;

 public:
  using Block = VitBlock<T>;

  explicit VitNetwork(VisionTransformer<T>& model, InferenceOptions options = {}) : Base(model, options) {}

  Index steps() const noexcept { return 2 * model_.config.depth(); }
  StepKind kind(Index step) const noexcept { return is_mlp(step) ? StepKind::mlp : StepKind::branch; }
  std::string name(Index step) const {
    return VisionTransformer<T>::block_name(step / 2) + (is_mlp(step) ? ".mlp" : ".attn");
  }
  Index rows_per_sample(Index) const noexcept { return model_.config.tokens(); }
  VitBlock<T>& block(Index step) { return this->changed_block(step / 2); }
  /// The layer scale of a step, empty where the model has none.
  const Vector<T>& scale(Index step) const {
    return is_mlp(step) ? block_of(step).layer_scale2 : block_of(step).layer_scale1;
  }

  /// What layer `layer` of the step reads, [rows, in], from the stream [rows, dim].
  void inputs(Index step, Index layer, const MatrixView<T>& stream, Matrix<T>& out) {
    const VitBlock<T>& of = block_of(step);
    const VitConfig& config = model_.config;
    this->inputs_behind(is_mlp(step) ? of.norm2 : of.norm1, step, layer, stream, out,
                        [&](const Matrix<T>& qkv, Matrix<T>& to) {
                          kernels::attention(qkv.data(), stream.rows() / config.tokens(), config.tokens(),
                                             config.heads, config.head_dim(), to.data(), this->workspace_);
                        });
  }

 private:
  friend Base;
  using Base::model_;

  static bool is_mlp(Index step) noexcept { return step % 2 == 1; }
  const VitBlock<T>& block_of(Index step) const { return model_.blocks[static_cast<std::size_t>(step / 2)]; }

  const Linear<T>& linear(Index step, Index layer) const {
    const VitBlock<T>& of = block_of(step);
    if (is_mlp(step)) return layer == 0 ? of.fc1 : of.fc2;
    return layer == 0 ? of.qkv : of.proj;
  }

  void prepare(Index) noexcept {}
};

static_assert(ResidualNetwork<VitNetwork<float>>);

}  // namespace vbp::inline VBP_ABI
