#pragma once
/// A Swin Transformer forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/window_attention_backward.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/stage_backward.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// See StagePasses.
template <class T>
class Passes<SwinTransformer<T>>
    : public StagePasses<Passes<SwinTransformer<T>>, SwinTransformer<T>, TransformerBlockActivations<T>> {
  using Base = StagePasses<Passes, SwinTransformer<T>, TransformerBlockActivations<T>>;
  friend Base;

 public:
  using typename Base::Activations, typename Base::Model;
  using Inference = SwinInference<T>;

  Passes(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : Base(model, at, recompute, context), padding_gradient_(3 * widest(model.config)) {
    for (Index i = 0; i < config().depth(); ++i) {
      windows_.push_back(pack_windows(config(), i, model.blocks[static_cast<std::size_t>(i)].position_bias));
    }
    no_bias_.setZero(3 * widest(model.config));
  }

  /// Bytes of the windows.
  Index bytes() const noexcept {
    Index sum = 0;
    for (const kernels::PackedWindows<T>& windows : windows_) sum += windows.bytes();
    return sum;
  }

 private:
  using Base::at_, Base::config, Base::context_, Base::features, Base::last_stage, Base::model_, Base::output,
      Base::pool, Base::rows;

  static Index widest(const SwinConfig& config) {
    return *std::max_element(config.dims.begin(), config.dims.end());
  }
  static auto embedding(auto& model) { return std::tie(model.patch_embed, model.patch_norm); }
  double embedding_epsilon() const noexcept { return config().embedding_epsilon; }

  // ---- one block: x + proj(attention(qkv(norm1(x)))), then x + fc2(gelu(fc1(norm2(x)))) ----

  AttentionBranch<T> attention_of(const SwinBlock<T>& block) const noexcept {
    return {block.norm1, block.qkv, block.proj, no_scale_, config().epsilon};
  }
  MlpBranch<T> mlp_of(const SwinBlock<T>& block) const noexcept {
    return {block, block.norm2, no_scale_, config().epsilon, config().activation};
  }
  /// The queries, keys and values of a pixel of zeros, as which windows are filled up.
  const T* padding_of(const SwinBlock<T>& block) const noexcept {
    return block.qkv.bias.size() > 0 ? block.qkv.bias.data() : no_bias_.data();
  }

  void block_forward(std::size_t index, Index stage, T* out) {
    const SwinBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    windows_[index].set_table(block.position_bias);
    attention_forward(attention_of(block), at, rows(stage), at_, context_, [&] {
      kernels::window_attention(at.qkv, at_.images, windows_[index], padding_of(block), at.attended,
                                config().dim(stage), context_.workspace);
    });
    mlp_forward(mlp_of(block), at.middle, at.middle, rows(stage), at.hidden, out, at_, context_);
  }

  void block_backward(std::size_t index, Index stage, SwinBlock<T>& gradient) {
    const SwinBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    mlp_backward(mlp_of(block), at.middle, at.hidden, rows(stage), at_.stream,
                 {gradient, gradient.norm2, no_scale_}, at_, context_);
    attention_backward(
        attention_of(block), at, rows(stage), {gradient.norm1, gradient.qkv, gradient.proj, no_scale_}, at_,
        context_, [&](const T* d_attended, T* d_qkv) {
          const kernels::PackedWindows<T>& windows = windows_[index];
          context_.partial.reserve(kernels::window_attention_backward_elements(at_.images, windows));
          kernels::window_attention_backward(at.qkv, d_attended, at_.images, windows, padding_of(block),
                                             d_qkv, padding_gradient_.data(), gradient.position_bias,
                                             context_.partial.data(), context_.workspace);
        });
    if (gradient.qkv.bias.size() > 0) gradient.qkv.bias += padding_gradient_.head(gradient.qkv.bias.size());
  }

  // ---- between two stages: squares of four pixels side by side, a norm, and a linear layer ----

  void transition_forward(Index stage, T* out) {
    const SwinMerging<T>& merging = model_.mergings[static_cast<std::size_t>(stage - 1)];
    merged_normal(merging, stage);
    linear_forward(merging.reduction, at_.wide, rows(stage), {}, out, context_);
  }

  void transition_backward(Index stage, Model& gradient) {
    const SwinMerging<T>& merging = model_.mergings[static_cast<std::size_t>(stage - 1)];
    SwinMerging<T>& own = gradient.mergings[static_cast<std::size_t>(stage - 1)];
    merged_normal(merging, stage);
    linear_backward_weights(at_.stream, at_.wide, rows(stage), own.reduction, context_);
    linear_backward_input(merging.reduction, at_.stream, rows(stage), at_.branch, context_);
    T* const d_squares = at_.wide;
    std::fill_n(d_squares, rows(stage) * 4 * config().dim(stage - 1), T(0));
    layer_norm_backward(merging.norm, config().embedding_epsilon, at_.normal, at_.branch, rows(stage),
                        d_squares, own.norm, context_);
    for_each_place(stage, [&](Index square, Index pixel) {
      if (pixel >= 0) std::copy_n(d_squares + square, config().dim(stage - 1), at_.stream + pixel);
    });
  }

  /// at_.normal becomes the squares, and at_.wide these normalised.
  void merged_normal(const SwinMerging<T>& merging, Index stage) {
    const Index dim = config().dim(stage - 1);
    const T* const map = output(stage - 1);
    for_each_place(stage, [&](Index square, Index pixel) {
      if (pixel >= 0) {
        std::copy_n(map + pixel, dim, at_.normal + square);
      } else {
        std::fill_n(at_.normal + square, dim, T(0));
      }
    });
    layer_norm_forward(merging.norm, config().embedding_epsilon, at_.normal, rows(stage), at_.wide, context_);
  }

  /// visit(where a pixel's values lie in the squares, and where in the map of the stage before), the latter
  /// negative where an odd side leaves no pixel. The left column of a square comes first.
  template <class Visit>
  void for_each_place(Index stage, Visit&& visit) {
    const Index dim = config().dim(stage - 1);
    const Index side = config().side(stage);
    const Index before = config().side(stage - 1);
    pool().parallel_for(at_.images * side, [&](Index task) {
      const Index first_row = task / side * before;
      for (Index column = 0; column < side; ++column) {
        for (Index place = 0; place < 4; ++place) {
          const Index from_row = task % side * 2 + place % 2;
          const Index from_column = column * 2 + place / 2;
          const bool there = from_row < before && from_column < before;
          visit(((task * side + column) * 4 + place) * dim,
                there ? ((first_row + from_row) * before + from_column) * dim : -1);
        }
      }
    });
  }

  // ---- from the last map to the features: a norm, and the mean ----

  void pool_forward() {
    layer_norm_forward(model_.norm, config().epsilon, output(last_stage()), rows(last_stage()), at_.normal,
                       context_);
    average_forward(at_.normal, at_.images, config().pixels(last_stage()), features(), at_.features,
                    context_);
  }

  void pool_backward(Model& gradient) {
    average_backward(at_.d_features, at_.images, config().pixels(last_stage()), features(), at_.branch,
                     context_);
    std::fill_n(at_.stream, rows(last_stage()) * features(), T(0));
    layer_norm_backward(model_.norm, config().epsilon, output(last_stage()), at_.branch, rows(last_stage()),
                        at_.stream, gradient.norm, context_);
  }

  std::vector<kernels::PackedWindows<T>> windows_;  ///< of each block
  Vector<T> padding_gradient_;                      ///< [3 * dim], of a block
  Vector<T> no_bias_;
  Vector<T> no_scale_;
};

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
