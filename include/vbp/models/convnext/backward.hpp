#pragma once
/// A ConvNeXt forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "vbp/core/types.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/stage_backward.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// What a block keeps. Rows are pixels.
template <class T>
struct ConvNextBlockActivations {
  static constexpr Index kWidest = 1;  ///< see StageActivations

  T* input = nullptr;      ///< [rows, dim]
  T* convolved = nullptr;  ///< [rows, dim], before the norm
  T* hidden = nullptr;     ///< [rows, hidden], before the activation

  void take(Index map, Index hidden_elements, Arena<T>& arena) {
    convolved = arena.take(map);
    hidden = arena.take(hidden_elements);
  }
};

/// See StagePasses.
template <class T>
class Passes<ConvNext<T>>
    : public StagePasses<Passes<ConvNext<T>>, ConvNext<T>, ConvNextBlockActivations<T>> {
  using Base = StagePasses<Passes, ConvNext<T>, ConvNextBlockActivations<T>>;
  friend Base;

 public:
  using typename Base::Model;
  using Inference = ConvNextInference<T>;
  using Base::Base;

 private:
  using Base::at_, Base::config, Base::context_, Base::features, Base::last_stage, Base::model_, Base::output,
      Base::pool, Base::rows;

  static auto embedding(auto& model) { return std::tie(model.stem, model.stem_norm); }
  double embedding_epsilon() const noexcept { return config().epsilon; }

  // ---- one block: x + layer_scale fc2(gelu(fc1(norm(depthwise(x))))) ----

  MlpBranch<T> mlp_of(const ConvNextBlock<T>& block) const noexcept {
    return {block, block.norm, block.layer_scale, config().epsilon, config().activation};
  }

  /// Without an `out` only what the backward pass needs is computed.
  void block_forward(std::size_t index, Index stage, T* out) {
    const ConvNextBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    depthwise_forward(block.depthwise, at.input, at_.images, config().side(stage), at.convolved, context_);
    mlp_forward(mlp_of(block), at.convolved, at.input, rows(stage), at.hidden, out, at_, context_);
  }

  /// at_.stream holds the gradient by the block's output and then by its input.
  void block_backward(std::size_t index, Index stage, ConvNextBlock<T>& gradient) {
    const ConvNextBlock<T>& block = model_.blocks[index];
    const auto& at = at_.blocks[index];
    T* const d_convolved = at_.normal;
    mlp_backward(mlp_of(block), at.convolved, at.hidden, rows(stage), d_convolved,
                 {gradient, gradient.norm, gradient.layer_scale}, at_, context_);
    depthwise_backward(block.depthwise, at.input, d_convolved, at_.images, config().side(stage), at_.stream,
                       at_.branch, gradient.depthwise, context_);
  }

  // ---- between two stages: a norm, and a linear layer of the four pixels of each square ----

  void transition_forward(Index stage, T* out) {
    const ConvNextDownsampling<T>& layer = model_.downsamplings[static_cast<std::size_t>(stage - 1)];
    squares_of_normal(layer, stage);
    linear_forward(layer.reduction, at_.wide, rows(stage), {}, out, context_);
  }

  void transition_backward(Index stage, Model& gradient) {
    const ConvNextDownsampling<T>& layer = model_.downsamplings[static_cast<std::size_t>(stage - 1)];
    ConvNextDownsampling<T>& own = gradient.downsamplings[static_cast<std::size_t>(stage - 1)];
    const Index size = rows(stage - 1) * config().dim(stage - 1);
    squares_of_normal(layer, stage);
    linear_backward_weights(at_.stream, at_.wide, rows(stage), own.reduction, context_);
    linear_backward_input(layer.reduction, at_.stream, rows(stage), at_.wide, context_);
    // Where a side is odd, its last row and column went nowhere.
    std::fill_n(at_.branch, size, T(0));
    for_each_square(stage, [&](T* square, Index channel, Index place, Index pixel) {
      at_.branch[pixel] = square[channel * 4 + place];
    });
    std::fill_n(at_.stream, size, T(0));
    layer_norm_backward(layer.norm, config().epsilon, output(stage - 1), at_.branch, rows(stage - 1),
                        at_.stream, own.norm, context_);
  }

  /// at_.wide becomes the rows that the reduction reads, in the order of its weights: channel, row, column.
  void squares_of_normal(const ConvNextDownsampling<T>& layer, Index stage) {
    layer_norm_forward(layer.norm, config().epsilon, output(stage - 1), rows(stage - 1), at_.normal,
                       context_);
    for_each_square(stage, [&](T* square, Index channel, Index place, Index pixel) {
      square[channel * 4 + place] = at_.normal[pixel];
    });
  }

  /// move(a square's row of at_.wide, channel, place in the square, where its value lies in the map of the
  /// stage before) for every value.
  template <class Move>
  void for_each_square(Index stage, Move&& move) {
    const Index dim = config().dim(stage - 1);
    const Index side = config().side(stage);
    const Index before = config().side(stage - 1);
    pool().parallel_for(at_.images * side, [&](Index task) {
      const Index first_row = task / side * before + task % side * 2;
      for (Index column = 0; column < side; ++column) {
        T* const square = at_.wide + (task * side + column) * 4 * dim;
        for (Index place = 0; place < 4; ++place) {
          const Index pixel = ((first_row + place / 2) * before + 2 * column + place % 2) * dim;
          for (Index channel = 0; channel < dim; ++channel) move(square, channel, place, pixel + channel);
        }
      }
    });
  }

  // ---- from the last map to the features: the mean, and a norm ----

  void pool_forward() {
    average_forward(output(last_stage()), at_.images, config().pixels(last_stage()), features(), at_.pooled,
                    context_);
    layer_norm_forward(model_.head_norm, config().head_epsilon, at_.pooled, at_.images, at_.features,
                       context_);
  }

  void pool_backward(Model& gradient) {
    std::fill_n(at_.d_pooled, at_.images * features(), T(0));
    layer_norm_backward(model_.head_norm, config().head_epsilon, at_.pooled, at_.d_features, at_.images,
                        at_.d_pooled, gradient.head_norm, context_);
    average_backward(at_.d_pooled, at_.images, config().pixels(last_stage()), features(), at_.stream,
                     context_);
  }
};

}  // namespace detail
}  // namespace vbp::inline VBP_ABI
