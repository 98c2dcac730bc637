#pragma once
/// What networks of stages have in common on their way forward and back.

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
/// take(elements of its map, of its hidden layer, arena) for what else it keeps.
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
      // Four pixels side by side, which may be more than there were: see side().
      const Index squares = stage == 0 ? 0 : images * config.pixels(stage) * 4 * config.dim(stage - 1);
      largest_stream = std::max({largest_stream, map(stage), squares});
      for (; b < config.first_block(stage + 1); ++b) {
        largest_hidden = std::max(largest_hidden, hidden(stage, b));
      }
    }
    patches = arena.take(images * config.pixels(0) * config.patch_elements());
    embedded = arena.take(map(0));
    Block shared;
    if (recompute) shared.take(largest_map, largest_hidden, arena);
    blocks.assign(config.hidden_widths.size(), shared);
    outputs.clear();
    for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
      for (; b < config.first_block(stage + 1); ++b) {
        Block& block = blocks[static_cast<std::size_t>(b)];
        block.input = arena.take(map(stage));
        if (!recompute) block.take(map(stage), hidden(stage, b), arena);
      }
      outputs.push_back(arena.take(map(stage)));
    }
    for (T** at : {&features, &d_features, &pooled, &d_pooled}) *at = arena.take(images * config.dims.back());
    this->take_temporaries(largest_stream,
                           std::max({largest_stream, Block::kWidest * largest_map, largest_hidden}),
                           largest_hidden, arena);
  }
};

/// The way through a network of stages. `Family` is derived from it and has what is its own:
/// embedding(model), the layers that make the first map of patches, and their epsilon; transition_forward and
/// _backward, what lies between two stages; block_forward and _backward; pool_forward and _backward, from the
/// last map to the features. Backward, `stream` holds the gradient by what comes out and then by what went
/// in.
template <class Family, class M, class Block>
class StagePasses {
 public:
  using T = typename M::Scalar;
  using Model = M;
  using Activations = StageActivations<T, Block>;

  StagePasses(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : model_(model), at_(at), context_(context), recompute_(recompute) {}

  void forward(const MatrixView<T>& images, T* logits) {
    cut_patches(images, config().channels, config().image_size, config().patch_size, at_.patches,
                config().patch_elements(), pool());
    const auto [layer, norm] = Family::embedding(model_);
    linear_forward(layer, at_.patches, rows(0), {}, at_.embedded, context_);
    layer_norm_forward(norm, family().embedding_epsilon(), at_.embedded, rows(0), at_.blocks.front().input,
                       context_);
    for (Index stage = 0, b = 0; stage < config().stages(); ++stage) {
      if (stage > 0) family().transition_forward(stage, at_.blocks[static_cast<std::size_t>(b)].input);
      for (const Index last = config().first_block(stage + 1) - 1; b <= last; ++b) {
        const auto i = static_cast<std::size_t>(b);
        family().block_forward(i, stage, b < last ? at_.blocks[i + 1].input : output(stage));
      }
    }
    family().pool_forward();
    head_forward(model_.head, at_.features, at_.images, features(), logits, context_);
  }

  void backward(const T* d_logits, Model& gradient) {
    head_backward(model_.head, d_logits, at_.features, at_.images, features(), at_.d_features, gradient.head,
                  context_);
    family().pool_backward(gradient);
    for (Index stage = config().stages(); stage-- > 0;) {
      for (Index b = config().first_block(stage + 1); b-- > config().first_block(stage);) {
        const auto i = static_cast<std::size_t>(b);
        // The last block's activations are still there.
        if (recompute_ && i + 1 < at_.blocks.size()) family().block_forward(i, stage, nullptr);
        family().block_backward(i, stage, gradient.blocks[i]);
      }
      if (stage > 0) family().transition_backward(stage, gradient);
    }
    const auto [layer, norm] = Family::embedding(model_);
    const auto [layer_gradient, norm_gradient] = Family::embedding(gradient);
    T* const d_embedded = at_.branch;
    std::fill_n(d_embedded, rows(0) * config().dim(0), T(0));
    layer_norm_backward(norm, family().embedding_epsilon(), at_.embedded, at_.stream, rows(0), d_embedded,
                        norm_gradient, context_);
    linear_backward_weights(d_embedded, at_.patches, rows(0), layer_gradient, context_);
  }

 protected:
  const auto& config() const noexcept { return model_.config; }
  ThreadPool& pool() noexcept { return context_.workspace.pool(); }
  Index rows(Index stage) const noexcept { return at_.images * config().pixels(stage); }
  Index last_stage() const noexcept { return config().stages() - 1; }
  Index features() const noexcept { return config().dims.back(); }
  T* output(Index stage) const noexcept { return at_.outputs[static_cast<std::size_t>(stage)]; }

  const Model& model_;
  const Activations& at_;
  LayerContext<T>& context_;

 private:
  Family& family() noexcept { return static_cast<Family&>(*this); }

  bool recompute_;
};

}  // namespace vbp::inline VBP_ABI::detail
