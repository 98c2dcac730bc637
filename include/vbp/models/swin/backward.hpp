#pragma once
/// A Swin Transformer forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/window_attention_backward.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_backward.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI::detail {

/// See StageBackward.
template <class T>
class SwinBackward
    : public StageBackward<SwinBackward<T>, SwinTransformer<T>, TransformerBlockActivations<T>> {
  using Base = StageBackward<SwinBackward<T>, SwinTransformer<T>, TransformerBlockActivations<T>>;
  friend Base;

 public:
  using typename Base::Activations, typename Base::Model;

  SwinBackward(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : Base(model, at, recompute, context) {
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      windows_.push_back(pack_windows(config(), static_cast<Index>(i), model.blocks[i].position_bias));
    }
    const Index widest = *std::max_element(config().dims.begin(), config().dims.end());
    padding_gradient_.resize(3 * widest);
    no_bias_.setZero(3 * widest);
  }

  /// Bytes of the windows.
  Index bytes() const noexcept {
    Index sum = 0;
    for (const kernels::PackedWindows<T>& windows : windows_) sum += windows.bytes();
    return sum;
  }

 private:
  using Base::at_, Base::config, Base::context_, Base::model_, Base::output, Base::pool, Base::rows,
      Base::transition_to;

  /// The queries, keys and values of a pixel of zeros: windows are filled up with such pixels.
  const T* padding_of(const SwinBlock<T>& block) const noexcept {
    return block.qkv.bias.size() > 0 ? block.qkv.bias.data() : no_bias_.data();
  }

  void block_forward(std::size_t index, Index stage, T* out) {
    const SwinBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    windows_[index].set_table(block.position_bias);
    transformer_block_forward(
        block, config().epsilon, config().activation, at, rows(stage), out, at_, context_, [&] {
          kernels::window_attention(at.qkv, at_.images, windows_[index], padding_of(block), at.attended,
                                    config().dim(stage), context_.workspace);
        });
  }

  void block_backward(std::size_t index, Index stage, SwinBlock<T>& gradient) {
    const SwinBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    const auto attend_back = [&](const T* d_attended, T* d_qkv) {
      const kernels::PackedWindows<T>& windows = windows_[index];
      context_.partial.reserve(kernels::window_attention_backward_elements(at_.images, windows));
      kernels::window_attention_backward(at.qkv, d_attended, at_.images, windows, padding_of(block), d_qkv,
                                         padding_gradient_.data(), gradient.position_bias,
                                         context_.partial.data(), context_.workspace);
    };
    transformer_block_backward(block, config().epsilon, config().activation, at, rows(stage), gradient, at_,
                               context_, attend_back);
    if (gradient.qkv.bias.size() > 0) gradient.qkv.bias += padding_gradient_.head(gradient.qkv.bias.size());
  }

  /// at_.normal becomes the squares, and at_.wide the normalised squares.
  void gather(Index stage) {
    const Index dim = config().dim(stage - 1);
    gather_squares(output(stage - 1), at_.images, config().side(stage - 1), config().side(stage), dim, true,
                   at_.normal, 4 * dim, pool());
    layer_norm_forward(transition_to(stage, model_).norm, config().embedding_epsilon, at_.normal, rows(stage),
                       at_.wide, context_);
  }

  void gather_backward(Index stage, Model& gradient) {
    const Index dim = config().dim(stage - 1);
    T* const d_squares = at_.wide;
    std::fill_n(d_squares, rows(stage) * 4 * dim, T(0));
    layer_norm_backward(transition_to(stage, model_).norm, config().embedding_epsilon, at_.normal, at_.branch,
                        rows(stage), d_squares, transition_to(stage, gradient).norm, context_);
    for_each_square_pixel(at_.images, config().side(stage - 1), config().side(stage), pool(),
                          [&](Index square, Index row, Index column, Index pixel) {
                            const T* const from = d_squares + (4 * square + 2 * column + row) * dim;
                            if (pixel >= 0) std::copy_n(from, dim, at_.stream + pixel * dim);
                          });
  }

  std::vector<kernels::PackedWindows<T>> windows_;  ///< of each block
  Vector<T> padding_gradient_;                      ///< [3 * dim], of a block
  Vector<T> no_bias_;
};

}  // namespace vbp::inline VBP_ABI::detail
