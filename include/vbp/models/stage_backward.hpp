#pragma once
/// Networks of stages forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/packed_layers.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Where the values of one batch lie that the backward pass needs, and its temporaries. Rows are pixels of
/// all images; their number and width are those of the stage. A `Block` has an `input` [rows, dim] and
/// allocate(elements of its map, of its hidden layer, arena), which places the rest of what it keeps.
template <class T, class Block>
struct StageActivations : Temporaries<T> {
  Index images = 0;
  T* patches = nullptr;   ///< [rows, patch elements]
  T* embedded = nullptr;  ///< [rows, dim], before the first norm
  std::vector<Block> blocks;
  std::vector<T*> outputs;                       ///< [rows, dim] of each stage
  T *features = nullptr, *d_features = nullptr;  ///< [images, dim], of the head
  T *pooled = nullptr, *d_pooled = nullptr;      ///< like it

  /// The widest layer that reads a stage's pixels has Block::kWidest times their width, or is an MLP's.
  template <class Config>
  void lay_out(const Config& config, Index count, bool recompute, Arena<T>& arena) {
    images = count;
    const auto map = [&](Index stage) { return images * config.pixels(stage) * config.dim(stage); };
    const auto hidden = [&](Index stage, Index block) {
      return images * config.pixels(stage) * config.hidden_widths[static_cast<std::size_t>(block)];
    };
    Index largest_map = 0, largest_stream = 0, largest_hidden = 0;
    for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
      largest_map = std::max(largest_map, map(stage));
      // Squares of four pixels may have more values than the map they are cut from: an odd side is filled up.
      const Index squares = stage == 0 ? 0 : images * config.pixels(stage) * 4 * config.dim(stage - 1);
      largest_stream = std::max({largest_stream, map(stage), squares});
      for (; b < config.first_block(stage + 1); ++b) {
        largest_hidden = std::max(largest_hidden, hidden(stage, b));
      }
    }
    patches = arena.allocate(images * config.pixels(0) * config.patch_elements());
    embedded = arena.allocate(map(0));
    Block shared;
    if (recompute) shared.allocate(largest_map, largest_hidden, arena);
    blocks.assign(config.hidden_widths.size(), shared);
    outputs.clear();
    for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
      for (; b < config.first_block(stage + 1); ++b) {
        Block& block = blocks[static_cast<std::size_t>(b)];
        block.input = arena.allocate(map(stage));
        if (!recompute) block.allocate(map(stage), hidden(stage, b), arena);
      }
      outputs.push_back(arena.allocate(map(stage)));
    }
    for (T** at : {&features, &d_features, &pooled, &d_pooled})
      *at = arena.allocate(images * config.dims.back());
    this->allocate_temporaries(largest_stream,
                               std::max({largest_stream, Block::kWidest * largest_map, largest_hidden}),
                               largest_hidden, arena);
  }
};

/// Forward and backward through a network of stages. `Family` is derived from it and has block_forward(index,
/// stage, out) and block_backward(index, stage, gradient); gather(stage), which makes at_.wide of the map of
/// the stage before, the rows that the transition's linear layer reads; and gather_backward(stage, gradient),
/// from the gradient by these rows in at_.branch. A backward function leaves the gradient by its input in
/// at_.stream, where it finds that by its output.
template <class Family, class M, class Block>
class StageBackward {
 public:
  using T = typename M::Scalar;
  using Model = M;
  using Activations = StageActivations<T, Block>;

  StageBackward(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : model_(model), at_(at), context_(context), recompute_(recompute) {}

  void forward(const MatrixView<T>& images, MutableMatrixView<T> logits) {
    cut_patches(images, config().channels, config().image_size, config().patch_size, at_.patches,
                config().patch_elements(), pool());
    linear_forward(model_.embedding, at_.patches, rows(0), {}, at_.embedded, context_);
    layer_norm_forward(model_.embedding_norm, config().embedding_norm_epsilon(), at_.embedded, rows(0),
                       at_.blocks.front().input, context_);
    for (Index stage = 0, b = 0; stage < config().stages(); ++stage) {
      if (stage > 0) transition_forward(stage, at_.blocks[static_cast<std::size_t>(b)].input);
      for (const Index last = config().first_block(stage + 1) - 1; b <= last; ++b) {
        const auto i = static_cast<std::size_t>(b);
        family().block_forward(i, stage, b < last ? at_.blocks[i + 1].input : output(stage));
      }
    }
    pool_forward();
    head_forward(model_.head, at_.features, features(), logits, context_);
  }

  void backward(const T* d_logits, Model& gradient) {
    head_backward(model_.head, d_logits, at_.features, at_.images, features(), at_.d_features, gradient.head,
                  context_);
    pool_backward(gradient);
    for (Index stage = config().stages(); stage-- > 0;) {
      for (Index b = config().first_block(stage + 1); b-- > config().first_block(stage);) {
        const auto i = static_cast<std::size_t>(b);
        // The last block's activations are still there.
        if (recompute_ && i + 1 < at_.blocks.size()) family().block_forward(i, stage, nullptr);
        family().block_backward(i, stage, gradient.blocks[i]);
      }
      if (stage > 0) transition_backward(stage, gradient);
    }
    T* const d_embedded = at_.branch;
    std::fill_n(d_embedded, rows(0) * config().dim(0), T(0));
    layer_norm_backward(model_.embedding_norm, config().embedding_norm_epsilon(), at_.embedded, at_.stream,
                        rows(0), d_embedded, gradient.embedding_norm, context_);
    linear_backward_weights(d_embedded, at_.patches, rows(0), gradient.embedding, context_);
  }

 protected:
  const auto& config() const noexcept { return model_.config; }
  ThreadPool& pool() const noexcept { return context_.workspace.pool(); }
  Index rows(Index stage) const noexcept { return at_.images * config().pixels(stage); }
  /// The transition that leads to a stage; `Any` is the model or its gradient.
  template <class Any>
  static auto& transition_to(Index stage, Any& model) noexcept {
    return model.transitions[static_cast<std::size_t>(stage - 1)];
  }
  T* output(Index stage) const noexcept { return at_.outputs[static_cast<std::size_t>(stage)]; }

  const Model& model_;
  const Activations& at_;
  LayerContext<T>& context_;

 private:
  Family& family() noexcept { return static_cast<Family&>(*this); }
  Index features() const noexcept { return config().dims.back(); }

  void transition_forward(Index stage, T* out) {
    family().gather(stage);
    linear_forward(transition_to(stage, model_).reduction, at_.wide, rows(stage), {}, out, context_);
  }

  void transition_backward(Index stage, Model& gradient) {
    family().gather(stage);
    linear_backward_weights(at_.stream, at_.wide, rows(stage), transition_to(stage, gradient).reduction,
                            context_);
    linear_backward_input(transition_to(stage, model_).reduction, at_.stream, rows(stage), at_.branch,
                          context_);
    family().gather_backward(stage, gradient);
  }

  /// From the last map to the features: a norm and the mean, in the family's order.
  void pool_forward() {
    const Index last = config().stages() - 1;
    const double epsilon = config().last_norm_epsilon();
    const Index pixels = config().pixels(last);
    if (M::Config::kLayout.norm_before_pooling) {
      layer_norm_forward(model_.norm, epsilon, output(last), rows(last), at_.normal, context_);
      average_forward(at_.normal, at_.images, pixels, features(), at_.features, context_);
    } else {
      average_forward(output(last), at_.images, pixels, features(), at_.pooled, context_);
      layer_norm_forward(model_.norm, epsilon, at_.pooled, at_.images, at_.features, context_);
    }
  }

  void pool_backward(Model& gradient) {
    const Index last = config().stages() - 1;
    const double epsilon = config().last_norm_epsilon();
    const Index pixels = config().pixels(last);
    if (M::Config::kLayout.norm_before_pooling) {
      average_backward(at_.d_features, at_.images, pixels, features(), at_.branch, context_);
      std::fill_n(at_.stream, rows(last) * features(), T(0));
      layer_norm_backward(model_.norm, epsilon, output(last), at_.branch, rows(last), at_.stream,
                          gradient.norm, context_);
    } else {
      std::fill_n(at_.d_pooled, at_.images * features(), T(0));
      layer_norm_backward(model_.norm, epsilon, at_.pooled, at_.d_features, at_.images, at_.d_pooled,
                          gradient.norm, context_);
      average_backward(at_.d_pooled, at_.images, pixels, features(), at_.stream, context_);
    }
  }

  bool recompute_;
};

}  // namespace vbp::inline VBP_ABI::detail
