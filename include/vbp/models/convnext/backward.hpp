#pragma once
/// A ConvNeXt forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>

#include "vbp/core/types.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_backward.hpp"

namespace vbp::inline VBP_ABI::detail {

/// What a block keeps for the way back. Rows are pixels.
template <class T>
struct ConvNextBlockActivations {
  static constexpr Index kWidest = 1;  ///< see StageActivations

  T* input = nullptr;      ///< [rows, dim]
  T* convolved = nullptr;  ///< [rows, dim], before the norm
  T* hidden = nullptr;     ///< [rows, hidden], before the activation

  /// All but the input, which has `map` elements.
  void allocate(Index map, Index hidden_elements, Arena<T>& arena) {
    convolved = arena.allocate(map);
    hidden = arena.allocate(hidden_elements);
  }
};

/// See StageBackward.
template <class T>
class ConvNextBackward : public StageBackward<ConvNextBackward<T>, ConvNext<T>, ConvNextBlockActivations<T>> {
  using Base = StageBackward<ConvNextBackward<T>, ConvNext<T>, ConvNextBlockActivations<T>>;
  friend Base;

 public:
  using Base::Base;
  using typename Base::Model;

 private:
  using Base::at_, Base::config, Base::context_, Base::model_, Base::output, Base::pool, Base::rows,
      Base::transition_to;

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

  /// at_.wide becomes the squares of the normalised map, in the order of the weights: channel, row, column.
  void gather(Index stage) {
    layer_norm_forward(transition_to(stage, model_).norm, config().epsilon, output(stage - 1),
                       rows(stage - 1), at_.normal, context_);
    for_each_value(stage, at_.wide, at_.normal, [](T& in_square, T& in_map) { in_square = in_map; });
  }

  void gather_backward(Index stage, Model& gradient) {
    // The last row and column of an odd side were dropped, so that their gradient is zero.
    const Index size = rows(stage - 1) * config().dim(stage - 1);
    T* const d_normal = at_.wide;
    std::fill_n(d_normal, size, T(0));
    for_each_value(stage, at_.branch, d_normal, [](T& in_square, T& in_map) { in_map = in_square; });
    std::fill_n(at_.stream, size, T(0));
    layer_norm_backward(transition_to(stage, model_).norm, config().epsilon, output(stage - 1), d_normal,
                        rows(stage - 1), at_.stream, transition_to(stage, gradient).norm, context_);
  }

  /// Calls move(value in the squares, the same value in the map of the stage before) for every value.
  template <class Move>
  void for_each_value(Index stage, T* squares, T* map, Move&& move) {
    const Index dim = config().dim(stage - 1);
    for_each_square_pixel(at_.images, config().side(stage - 1), config().side(stage), pool(),
                          [&](Index square, Index row, Index column, Index pixel) {
                            T* const values = squares + square * 4 * dim + 2 * row + column;
                            for (Index channel = 0; channel < dim; ++channel) {
                              move(values[4 * channel], map[pixel * dim + channel]);
                            }
                          });
  }
};

}  // namespace vbp::inline VBP_ABI::detail
