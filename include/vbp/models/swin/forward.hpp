#pragma once
/// The forward pass of a Swin Transformer.

#include <cstddef>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/model_inference.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// How the map of a block is divided into windows.
inline kernels::WindowLayout window_layout(const SwinConfig& config, Index block) {
  const Index stage = config.stage_of(block);
  return {.side = config.side(stage),
          .window = config.window(stage),
          .shift = config.shift(block),
          .pad_before_shift = config.pad_before_shift};
}

/// A block's windows, ready for attention.
template <class T>
kernels::PackedWindows<T> pack_windows(const SwinConfig& config, Index block, const Matrix<T>& table) {
  return {window_layout(config, block), table, config.head_dim(config.stage_of(block))};
}

/// The queries, keys and values of a pixel of zeros: windows are filled up with such pixels.
template <class T>
Vector<T> padding_of(const Linear<T>& qkv) {
  return qkv.bias.size() > 0 ? qkv.bias : Vector<T>(Vector<T>::Zero(qkv.weight.rows()));
}

}  // namespace detail

/// A Swin Transformer made ready to run; detail::ModelInference documents how it is used.
template <class T>
class SwinInference : public detail::StageInference<SwinInference<T>, SwinTransformer<T>> {
  using Base = detail::StageInference<SwinInference<T>, SwinTransformer<T>>;

 public:
  /// Throws what model.validate() throws.
  explicit SwinInference(const SwinTransformer<T>& model, Context context = {})
      : Base(model, std::move(context)) {
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      const SwinBlock<T>& block = model.blocks[i];
      blocks_.push_back({detail::PackedTransformerBlock<T>(block), detail::padding_of(block.qkv),
                         detail::pack_windows(config_, static_cast<Index>(i), block.position_bias)});
    }
  }

 private:
  friend Base;
  using Base::config_, Base::workspace_;

  struct Block : detail::PackedTransformerBlock<T> {
    Vector<T> padding;
    kernels::PackedWindows<T> windows;
  };

  static constexpr Index kWidest = 3;

  static auto pack_reduction(const Linear<T>& layer) { return detail::pack(layer); }

  Index block_bytes() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks_) sum += block.bytes() + block.windows.bytes();
    return sum;
  }

  template <class Observer>
  void run_block(Index index, Index stage, Index count, Observer& observe) {
    const Block& block = blocks_[static_cast<std::size_t>(index)];
    this->run_transformer_block(
        index, block, count * config_.pixels(stage), config_.dim(stage),
        [&](const T* qkv, T* out, Index stride) {
          kernels::window_attention(qkv, count, block.windows, block.padding.data(), out, stride, workspace_);
        },
        observe);
  }

  std::vector<Block> blocks_;
};

}  // namespace vbp::inline VBP_ABI
