#pragma once
/// The forward pass of a Swin Transformer.

#include <algorithm>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_inference.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A block's windows, ready for attention.
template <class T>
kernels::PackedWindows<T> pack_windows(const SwinConfig& config, Index block, const Matrix<T>& table) {
  const Index stage = config.stage_of(block);
  return {{.side = config.side(stage),
           .window = config.window(stage),
           .shift = config.shift(block),
           .pad_before_shift = config.pad_before_shift},
          table,
          config.head_dim(stage)};
}

/// The queries, keys and values of a pixel of zeros, as which windows are filled up.
template <class T>
Vector<T> padding_of(const Linear<T>& qkv) {
  return qkv.bias.size() > 0 ? qkv.bias : Vector<T>(Vector<T>::Zero(qkv.weight.rows()));
}

}  // namespace detail

/// A Swin Transformer made ready to run: see detail::StageInference, which has what it does.
template <class T>
class SwinInference : public detail::StageInference<SwinInference<T>, SwinTransformer<T>> {
  using Base = detail::StageInference<SwinInference<T>, SwinTransformer<T>>;

 public:
  /// Throws what model.validate() throws.
  explicit SwinInference(const SwinTransformer<T>& model, InferenceOptions options = {})
      : Base(model, options) {
    embedding_ = detail::pack(model.patch_embed);
    embedding_norm_ = model.patch_norm;
    for (const SwinMerging<T>& merging : model.mergings) {
      transitions_.push_back({merging.norm, detail::pack(merging.reduction)});
    }
    for (Index i = 0; i < config_.depth(); ++i) {
      const SwinBlock<T>& block = model.blocks[static_cast<std::size_t>(i)];
      blocks_.push_back({block.norm1, detail::pack(block.qkv), detail::padding_of(block.qkv),
                         detail::pack_windows(config_, i, block.position_bias), detail::pack(block.proj),
                         block.norm2, detail::pack(block.fc1), detail::pack(block.fc2)});
    }
    norm_ = model.norm;
  }

  /// The feature map that enters `stage` (1 at least), from the one that leaves the stage before.
  Matrix<T> merged(Index stage, const MatrixView<T>& map) { return this->after_transition(stage, map); }

 private:
  friend Base;
  using Base::clock_, Base::config_, Base::embedding_, Base::embedding_norm_, Base::norm_, Base::normal_,
      Base::transitions_, Base::wide_, Base::workspace_, Base::x_;
  using typename Base::PackedLinear;

  struct Block {
    LayerNorm<T> norm1;
    PackedLinear qkv;
    Vector<T> padding;
    kernels::PackedWindows<T> windows;
    PackedLinear proj;
    LayerNorm<T> norm2;
    PackedLinear fc1, fc2;
  };

  static constexpr Index kWidest = 3;

  double embedding_epsilon() const noexcept { return config_.embedding_epsilon; }

  Index block_bytes() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks_) {
      sum += block.qkv.weight.bytes() + block.windows.bytes() + block.proj.weight.bytes() +
             block.fc1.weight.bytes() + block.fc2.weight.bytes();
    }
    return sum;
  }

  /// Squares of four pixels side by side, left column first, zeros where an odd side leaves none; normalised
  /// and reduced.
  void transition(Index stage, Index count) {
    const auto& merging = transitions_[static_cast<std::size_t>(stage - 1)];
    const Index before = config_.dim(stage - 1);
    const Index side_before = config_.side(stage - 1);
    const Index side = config_.side(stage);
    const Index stride = detail::row_stride<T>(4 * before);
    workspace_.pool().parallel_for(count * side, [&](Index task) {
      const T* const map = x_ + task / side * side_before * side_before * before;
      T* to = wide_ + task * side * stride;
      for (Index column = 0; column < side; ++column, to += stride) {
        for (Index place = 0; place < 4; ++place) {
          const Index from_row = task % side * 2 + place % 2;
          const Index from_column = column * 2 + place / 2;
          if (from_row < side_before && from_column < side_before) {
            std::copy_n(map + (from_row * side_before + from_column) * before, before, to + place * before);
          } else {
            std::fill_n(to + place * before, before, T(0));
          }
        }
      }
    });
    const Index rows = count * config_.pixels(stage);
    detail::normalise(merging.norm, config_.embedding_epsilon, wide_, stride, rows, wide_, stride,
                      workspace_);
    detail::multiply(wide_, stride, rows, merging.reduction, {}, x_, config_.dim(stage), workspace_);
  }

  template <class Observer>
  void run_block(Index index, Index stage, Index count, Observer& observe) {
    const Block& block = blocks_[static_cast<std::size_t>(index)];
    const Index dim = config_.dim(stage);
    const Index rows = count * config_.pixels(stage);
    const Index stride = detail::row_stride<T>(dim);
    detail::normalise(block.norm1, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    detail::multiply(normal_, stride, rows, block.qkv, {}, wide_, 3 * dim, workspace_);
    clock_.lap(LayerKind::qkv);
    kernels::window_attention(wide_, count, block.windows, block.padding.data(), normal_, stride, workspace_);
    clock_.lap(LayerKind::attention);
    detail::multiply(normal_, stride, rows, block.proj,
                     {.kind = kernels::EpilogueKind::scaled_residual, .residual = x_, .residual_stride = dim},
                     x_, dim, workspace_);
    clock_.lap(LayerKind::projection);
    detail::normalise(block.norm2, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    this->run_mlp(index, rows, dim, block.fc1, block.fc2, nullptr, observe);
  }

  /// The mean of the normalised pixels.
  void pool_map(Index count, T* features) {
    const Index dim = config_.dims.back();
    const Index pixels = config_.pixels(config_.stages() - 1);
    detail::normalise(norm_, config_.epsilon, x_, dim, count * pixels, x_, dim, workspace_);
    for (Index image = 0; image < count; ++image) {
      detail::average_rows(x_ + image * pixels * dim, pixels, dim, features + image * dim);
    }
  }

  std::vector<Block> blocks_;
};

}  // namespace vbp::inline VBP_ABI
