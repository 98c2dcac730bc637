#pragma once
/// The forward pass of a ConvNeXt.

#include <cstddef>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_inference.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The weights of a depthwise convolution as the kernel reads them: [49, dim].
template <class T>
Linear<T> channels_last(const Linear<T>& depthwise) {
  return {depthwise.weight.transpose(), depthwise.bias};
}

}  // namespace detail

/// A ConvNeXt made ready to run; detail::ModelInference documents how it is used.
template <class T>
class ConvNextInference : public detail::StageInference<ConvNextInference<T>, ConvNext<T>> {
  using Base = detail::StageInference<ConvNextInference<T>, ConvNext<T>>;

 public:
  /// Throws what model.validate() throws.
  explicit ConvNextInference(const ConvNext<T>& model, Context context = {})
      : Base(model, std::move(context)) {
    for (const ConvNextBlock<T>& block : model.blocks) {
      blocks_.push_back({detail::channels_last(block.depthwise), block.norm, detail::pack(block.fc1),
                         detail::pack(block.fc2), block.layer_scale});
    }
  }

 private:
  friend Base;
  using Base::clock_, Base::config_, Base::normal_, Base::workspace_, Base::x_;
  using typename Base::PackedLinear;

  struct Block {
    Linear<T> depthwise;  ///< [49, dim]
    LayerNorm<T> norm;
    PackedLinear fc1, fc2;
    Vector<T> layer_scale;
  };

  static constexpr Index kWidest = 0;

  /// The weight of a 2x2 convolution of stride 2 for inputs whose index runs row, column, channel.
  static PackedLinear pack_reduction(const Linear<T>& layer) {
    const Index dim = layer.weight.cols() / 4;
    Matrix<T> weight(layer.weight.rows(), 4 * dim);
    for (Index place = 0; place < 4; ++place) {
      for (Index channel = 0; channel < dim; ++channel) {
        weight.col(place * dim + channel) = layer.weight.col(channel * 4 + place);
      }
    }
    return {kernels::PackedWeight<T>(weight), layer.bias};
  }

  Index block_bytes() const noexcept {
    Index sum = 0;
    for (const Block& block : blocks_) {
      sum += block.depthwise.weight.size() * static_cast<Index>(sizeof(T)) + block.fc1.weight.bytes() +
             block.fc2.weight.bytes();
    }
    return sum;
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

  std::vector<Block> blocks_;
};

}  // namespace vbp::inline VBP_ABI
