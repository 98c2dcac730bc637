#pragma once
/// A ConvNeXt forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/convnext/config.hpp"
#include "vbp/convnext/inference.hpp"
#include "vbp/convnext/model.hpp"
#include "vbp/core/types.hpp"
#include "vbp/model/execution.hpp"
#include "vbp/train/backpropagation.hpp"
#include "vbp/train/layers.hpp"

namespace vbp {

namespace detail {

template <class T>
class Passes<ConvNext<T>> {
 public:
  using Model = ConvNext<T>;
  using Inference = ConvNextInference<T>;

  /// Where the values of one batch lie that the backward pass needs, and its temporaries. Rows are pixels of
  /// all images; their number and width are those of the stage.
  struct Activations : Temporaries<T> {
    struct Block {
      T* input = nullptr;      ///< [rows, dim]
      T* convolved = nullptr;  ///< [rows, dim], before the norm
      T* hidden = nullptr;     ///< [rows, hidden], before the activation
    };

    Index images = 0;
    T* patches = nullptr;   ///< [rows, patch elements]
    T* embedded = nullptr;  ///< [rows, dim], before the stem's norm
    std::vector<Block> blocks;
    std::vector<T*> outputs;  ///< [rows, dim] of each stage
    T *pooled = nullptr, *features = nullptr, *d_pooled = nullptr, *d_features = nullptr;  ///< [images, dim]
    T* d_convolved = nullptr;                                                              ///< [rows, dim]

    void lay_out(const ConvNextConfig& config, Index count, bool recompute, Arena<T>& arena) {
      images = count;
      const auto rows = [&](Index stage) { return images * config.pixels(stage); };
      Index widest_map = 0, widest_hidden = 0, wide_elements = 0;
      for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
        widest_map = std::max(widest_map, rows(stage) * config.dim(stage));
        if (stage > 0) wide_elements = std::max(wide_elements, rows(stage) * 4 * config.dim(stage - 1));
        for (; b < config.first_block(stage + 1); ++b) {
          widest_hidden =
              std::max(widest_hidden, rows(stage) * config.hidden_widths[static_cast<std::size_t>(b)]);
        }
      }
      patches = arena.take(rows(0) * config.patch_elements());
      embedded = arena.take(rows(0) * config.dim(0));
      Block shared;
      if (recompute) shared = {nullptr, arena.take(widest_map), arena.take(widest_hidden)};
      blocks.assign(config.hidden_widths.size(), shared);
      outputs.clear();
      for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
        const Index map = rows(stage) * config.dim(stage);
        for (; b < config.first_block(stage + 1); ++b) {
          const auto i = static_cast<std::size_t>(b);
          blocks[i].input = arena.take(map);
          if (recompute) continue;
          blocks[i].convolved = arena.take(map);
          blocks[i].hidden = arena.take(rows(stage) * config.hidden_widths[i]);
        }
        outputs.push_back(arena.take(map));
      }
      for (T** at : {&pooled, &features, &d_pooled, &d_features})
        *at = arena.take(images * config.dims.back());
      d_convolved = arena.take(widest_map);
      this->take(widest_map, std::max(wide_elements, widest_hidden), widest_hidden, arena);
    }
  };

  Passes(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : model_(model), at_(at), recompute_(recompute), context_(context) {}

  void forward(const MatrixView<T>& images, T* logits) {
    cut_patches(images, config().channels, config().image_size, config().patch_size, at_.patches,
                config().patch_elements(), pool());
    linear_forward(model_.stem, at_.patches, rows(0), {}, at_.embedded, context_);
    layer_norm_forward(model_.stem_norm, config().epsilon, at_.embedded, rows(0), at_.blocks.front().input,
                       context_);
    for (Index stage = 0, b = 0; stage < config().stages(); ++stage) {
      if (stage > 0) downsampling_forward(stage, at_.blocks[static_cast<std::size_t>(b)].input);
      const Index last = config().first_block(stage + 1) - 1;
      for (; b <= last; ++b) {
        const auto i = static_cast<std::size_t>(b);
        block_forward(i, stage, b < last ? at_.blocks[i + 1].input : output(stage));
      }
    }
    average_forward(output(last_stage()), at_.images, config().pixels(last_stage()), features(), at_.pooled,
                    context_);
    layer_norm_forward(model_.head_norm, config().head_epsilon, at_.pooled, at_.images, at_.features,
                       context_);
    head_forward(model_.head, at_.features, at_.images, features(), logits, context_);
  }

  void backward(const T* d_logits, Model& gradient) {
    head_backward(model_.head, d_logits, at_.features, at_.images, features(), at_.d_features, gradient.head,
                  context_);
    std::fill_n(at_.d_pooled, at_.images * features(), T(0));
    layer_norm_backward(model_.head_norm, config().head_epsilon, at_.pooled, at_.d_features, at_.images,
                        at_.d_pooled, gradient.head_norm, context_);
    average_backward(at_.d_pooled, at_.images, config().pixels(last_stage()), features(), at_.stream,
                     context_);
    for (Index stage = config().stages(); stage-- > 0;) {
      for (Index b = config().first_block(stage + 1); b-- > config().first_block(stage);) {
        const auto i = static_cast<std::size_t>(b);
        // The last block's activations are still there.
        if (recompute_ && i + 1 < at_.blocks.size()) block_forward(i, stage, nullptr);
        block_backward(i, stage, gradient.blocks[i]);
      }
      if (stage > 0) downsampling_backward(stage, gradient);
    }
    T* const d_embedded = at_.branch;
    std::fill_n(d_embedded, rows(0) * config().dim(0), T(0));
    layer_norm_backward(model_.stem_norm, config().epsilon, at_.embedded, at_.stream, rows(0), d_embedded,
                        gradient.stem_norm, context_);
    linear_backward_weights(d_embedded, at_.patches, rows(0), gradient.stem, context_);
  }

 private:
  const ConvNextConfig& config() const noexcept { return model_.config; }
  ThreadPool& pool() noexcept { return context_.workspace.pool(); }
  Index rows(Index stage) const noexcept { return at_.images * config().pixels(stage); }
  Index last_stage() const noexcept { return config().stages() - 1; }
  Index features() const noexcept { return config().dims.back(); }
  T* output(Index stage) const noexcept { return at_.outputs[static_cast<std::size_t>(stage)]; }

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
    std::fill_n(at_.d_convolved, rows(stage) * config().dim(stage), T(0));
    mlp_backward(mlp_of(block), at.convolved, at.hidden, at_.stream, rows(stage), at_.d_convolved,
                 {gradient, gradient.norm, gradient.layer_scale}, at_, context_);
    depthwise_backward(block.depthwise, at.input, at_.d_convolved, at_.images, config().side(stage),
                       at_.stream, at_.branch, gradient.depthwise, context_);
  }

  // ---- between two stages: a norm, and a linear layer of the four pixels of each square ----

  void downsampling_forward(Index stage, T* out) {
    const ConvNextDownsampling<T>& layer = model_.downsamplings[static_cast<std::size_t>(stage - 1)];
    squares_of_normal(layer, stage);
    linear_forward(layer.reduction, at_.wide, rows(stage), {}, out, context_);
  }

  void downsampling_backward(Index stage, Model& gradient) {
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

  const Model& model_;
  const Activations& at_;
  bool recompute_;
  LayerContext<T>& context_;
};

}  // namespace detail
}  // namespace vbp
