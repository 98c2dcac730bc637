#pragma once
/// The forward pass of a ConvNeXt.

#include <algorithm>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_inference.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The kernels of a depthwise convolution as the kernel reads them: [49, dim].
template <class T>
Linear<T> channels_last(const Linear<T>& depthwise) {
  return {depthwise.weight.transpose(), depthwise.bias};
}

/// The weight of a 2x2 convolution of stride 2 for inputs whose index runs row, column, channel.
template <class T>
PackedLinear<T> pack_reduction(const Linear<T>& layer) {
  const Index dim = layer.weight.cols() / 4;
  Matrix<T> weight(layer.weight.rows(), 4 * dim);
  for (Index place = 0; place < 4; ++place) {
    for (Index channel = 0; channel < dim; ++channel) {
      weight.col(place * dim + channel) = layer.weight.col(channel * 4 + place);
    }
  }
  return {kernels::PackedWeight<T>(weight), layer.bias};
}

}  // namespace detail

/// A ConvNeXt made ready to run: see detail::StageInference, which has what it does.
template <class T>
class ConvNextInference : public detail::StageInference<ConvNextInference<T>, ConvNext<T>> {
  using Base = detail::StageInference<ConvNextInference<T>, ConvNext<T>>;

 public:
  /// Throws what model.validate() throws.
  explicit ConvNextInference(const ConvNext<T>& model, InferenceOptions options = {}) : Base(model, options) {
    embedding_ = detail::pack(model.stem);
    embedding_norm_ = model.stem_norm;
    for (const ConvNextDownsampling<T>& downsampling : model.downsamplings) {
      transitions_.push_back({downsampling.norm, detail::pack_reduction(downsampling.reduction)});
    }
    for (const ConvNextBlock<T>& block : model.blocks) {
      blocks_.push_back({detail::channels_last(block.depthwise), block.norm, detail::pack(block.fc1),
                         detail::pack(block.fc2), block.layer_scale});
    }
    norm_ = model.head_norm;
  }

  /// The feature map that enters `stage` (1 at least), from the one that leaves the stage before.
  Matrix<T> downsampled(Index stage, const MatrixView<T>& map) { return this->after_transition(stage, map); }

 private:
  friend Base;
  using Base::clock_, Base::config_, Base::embedding_, Base::embedding_norm_, Base::norm_, Base::normal_,
      Base::pooled_, Base::transitions_, Base::wide_, Base::workspace_, Base::x_;
  using typename Base::PackedLinear;

  struct Block {
    Linear<T> depthwise;  ///< [49, dim]
    LayerNorm<T> norm;
    PackedLinear fc1, fc2;
    Vector<T> layer_scale;
  };

  static constexpr Index kWidest = 0;

  double embedding_epsilon() const noexcept { return config_.epsilon; }

  Index block_bytes() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks_) {
      sum += block.depthwise.weight.size() * static_cast<Index>(sizeof(T)) + block.fc1.weight.bytes() +
             block.fc2.weight.bytes();
    }
    return sum;
  }

  /// Normalises every pixel, lays the four of each square behind each other, and multiplies.
  void transition(Index stage, Index count) {
    const auto& downsampling = transitions_[static_cast<std::size_t>(stage - 1)];
    const Index before = config_.dim(stage - 1);
    const Index side_before = config_.side(stage - 1);
    const Index side = config_.side(stage);
    const Index stride = detail::row_stride<T>(4 * before);
    detail::normalise(downsampling.norm, config_.epsilon, x_, before, count * side_before * side_before,
                      normal_, before, workspace_);
    workspace_.pool().parallel_for(count * side, [&](Index task) {
      const Index image = task / side;
      const Index row = task % side;
      for (Index column = 0; column < side; ++column) {
        T* const to = wide_ + (task * side + column) * stride;
        for (Index half = 0; half < 2; ++half) {
          const Index pixel = (image * side_before + 2 * row + half) * side_before + 2 * column;
          std::copy_n(normal_ + pixel * before, 2 * before, to + half * 2 * before);
        }
      }
    });
    detail::multiply(wide_, stride, count * side * side, downsampling.reduction, {}, x_, config_.dim(stage),
                     workspace_);
  }

  template <class Observer>
  void run_block(Index index, Index stage, Index count, Observer& observe) {
    const Block& block = blocks_[static_cast<std::size_t>(index)];
    const Index dim = config_.dim(stage);
    const Index rows = count * config_.pixels(stage);
    const Index stride = detail::row_stride<T>(dim);
    kernels::depthwise_7x7(x_, dim, count, config_.side(stage), config_.side(stage), dim,
                           block.depthwise.weight.data(), block.depthwise.bias.data(), normal_, stride,
                           workspace_);
    clock_.lap(LayerKind::depthwise);
    detail::normalise(block.norm, config_.epsilon, normal_, stride, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    this->run_mlp(index, rows, dim, block.fc1, block.fc2, detail::data_or_null(block.layer_scale), observe);
  }

  /// The normalised mean of the pixels.
  void pool_map(Index count, T* features) {
    const Index dim = config_.dims.back();
    const Index pixels = config_.pixels(config_.stages() - 1);
    for (Index image = 0; image < count; ++image) {
      detail::average_rows(x_ + image * pixels * dim, pixels, dim, pooled_ + image * dim);
    }
    detail::normalise(norm_, config_.head_epsilon, pooled_, dim, count, features, dim, workspace_);
  }

  std::vector<Block> blocks_;
};

}  // namespace vbp::inline VBP_ABI
