#pragma once
/// A Vision Transformer forward and back, for Backpropagation.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/kernels/attention_backward.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Forward and backward through a Vision Transformer. Backward, at_.stream holds the gradient by the output
/// of a layer and then by its input.
template <class T>
class VitBackward {
 public:
  using Model = VisionTransformer<T>;
  using Block = TransformerBlockActivations<T>;

  /// Where the values of one batch lie that the backward pass needs, and its temporaries. Rows are tokens.
  struct Activations : Temporaries<T> {
    Index images = 0, rows = 0;
    T* patches = nullptr;  ///< [images * patches, patch elements]
    std::vector<Block> blocks;
    T* output = nullptr;                                                 ///< [rows, dim], of the last block
    T *pooled = nullptr, *normal_pooled = nullptr, *features = nullptr;  ///< [2 images, pooled features] each
    T *d_pooled = nullptr, *d_features = nullptr;                        ///< like them
    T* d_logits = nullptr;                                               ///< [images, outputs]

    void lay_out(const VitConfig& config, Index count, bool recompute, Arena<T>& arena) {
      images = count;
      rows = images * config.tokens();
      const Index dim = config.dim;
      const Index widest_hidden = *std::max_element(config.hidden_widths.begin(), config.hidden_widths.end());
      patches = arena.allocate(images * config.patches() * config.patch_elements());
      Block shared;
      if (recompute) shared.allocate(rows * dim, rows * widest_hidden, arena);
      blocks.assign(config.hidden_widths.size(), shared);
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        blocks[i].input = arena.allocate(rows * dim);
        if (!recompute) blocks[i].allocate(rows * dim, rows * config.hidden_widths[i], arena);
      }
      output = arena.allocate(rows * dim);
      for (T** at : {&pooled, &normal_pooled, &features, &d_pooled, &d_features}) {
        *at = arena.allocate(2 * images * config.pooled_features());
      }
      d_logits = arena.allocate(images * config.outputs());
      this->allocate_temporaries(rows * dim, rows * std::max(Block::kWidest * dim, widest_hidden),
                                 rows * widest_hidden, arena);
    }
  };

  VitBackward(const Model& model, const Activations& at, bool recompute, LayerContext<T>& context)
      : model_(model), at_(at), recompute_(recompute), context_(context) {}

  void forward(const MatrixView<T>& images, MutableMatrixView<T> logits) {
    embed_forward(images, at_.blocks.front().input);
    for (std::size_t i = 0; i < model_.blocks.size(); ++i) {
      T* const output = i + 1 < at_.blocks.size() ? at_.blocks[i + 1].input : at_.output;
      block_forward(model_.blocks[i], at_.blocks[i], output);
    }
    pool_forward();
    head_forward(logits);
  }

  void backward(const T* d_logits, Model& gradient) {
    head_backward(d_logits, gradient);
    pool_backward(gradient);
    for (std::size_t i = model_.blocks.size(); i-- > 0;) {
      // The last block's activations are still there.
      if (recompute_ && i + 1 < model_.blocks.size()) {
        block_forward(model_.blocks[i], at_.blocks[i], nullptr);
      }
      block_backward(model_.blocks[i], at_.blocks[i], gradient.blocks[i]);
    }
    embed_backward(gradient);
  }

 private:
  const VitConfig& config() const noexcept { return model_.config; }
  ThreadPool& pool() const noexcept { return context_.workspace.pool(); }

  // ---- patches, tokens, positions ----

  void embed_forward(const MatrixView<T>& images, T* x) {
    cut_patches(images, config().channels, config().image_size, config().patch_size, at_.patches,
                config().patch_elements(), pool());
    linear_forward(model_.patch_embed, at_.patches, at_.images * config().patches(), {}, at_.normal,
                   context_);
    const Index prefix = config().prefix_tokens();
    const Index tokens = config().tokens();
    const Index dim = config().dim;
    pool().parallel_for(at_.images, [&](Index image) {
      for (Index token = 0; token < tokens; ++token) {
        const T* const own = token < prefix ? prefix_token(model_, token)
                                            : at_.normal + (image * (tokens - prefix) + token - prefix) * dim;
        const T* const position = position_row(model_, token);
        T* const to = x + (image * tokens + token) * dim;
        for (Index j = 0; j < dim; ++j) to[j] = position == nullptr ? own[j] : own[j] + position[j];
      }
    });
  }

  void embed_backward(Model& gradient) {
    const Index prefix = config().prefix_tokens();
    const Index tokens = config().tokens();
    const Index dim = config().dim;
    const Index patches = tokens - prefix;
    // Tokens and positions are the same for all images: their gradients are sums over these.
    pool().parallel_for(tokens, [&](Index token) {
      T* const own = token < prefix ? prefix_token(gradient, token) : nullptr;
      T* const position = position_row(gradient, token);
      T* const sum = own != nullptr ? own : position;
      std::fill_n(sum, dim, T(0));
      for (Index image = 0; image < at_.images; ++image) {
        const T* const from = at_.stream + (image * tokens + token) * dim;
        for (Index j = 0; j < dim; ++j) sum[j] += from[j];
      }
      if (own != nullptr && position != nullptr) std::copy_n(own, dim, position);
    });
    pool().parallel_for(at_.images, [&](Index image) {
      std::copy_n(at_.stream + (image * tokens + prefix) * dim, patches * dim,
                  at_.normal + image * patches * dim);
    });
    linear_backward_weights(at_.normal, at_.patches, at_.images * patches, gradient.patch_embed, context_);
  }

  /// The parameter that a prefix token starts from; `M` may be const.
  template <class M>
  static auto prefix_token(M& model, Index token) noexcept {
    if (model.config.class_token && token-- == 0) return model.class_token.data();
    if (model.config.distillation_token && token-- == 0) return model.distillation_token.data();
    return model.register_tokens.data() + token * model.config.dim;
  }

  /// The position embedding of a token, or null where it has none.
  template <class M>
  static auto position_row(M& model, Index token) noexcept {
    const Index row = model.config.position_covers_prefix ? token : token - model.config.prefix_tokens();
    return row < 0 ? nullptr : model.positions.data() + row * model.config.dim;
  }

  // ---- one block ----

  /// Without an `output` only what the backward pass needs is computed.
  void block_forward(const VitBlock<T>& block, const Block& at, T* output) {
    transformer_block_forward(block, config().epsilon, config().activation, at, at_.rows, output, at_,
                              context_, [&] {
                                kernels::attention(at.qkv, at_.images, config().tokens(), config().heads,
                                                   config().head_dim(), at.attended, context_.workspace);
                              });
  }

  void block_backward(const VitBlock<T>& block, const Block& at, VitBlock<T>& gradient) {
    transformer_block_backward(block, config().epsilon, config().activation, at, at_.rows, gradient, at_,
                               context_, [&](const T* d_attended, T* d_qkv) {
                                 kernels::attention_backward(at.qkv, d_attended, at_.images,
                                                             config().tokens(), config().heads,
                                                             config().head_dim(), d_qkv, context_.workspace);
                               });
  }

  // ---- from tokens to features; see Pooling ----

  bool averages() const noexcept { return detail::averages(config().pooling); }
  /// Rows of pooled features: with a distillation token there is a second half, its own.
  Index pooled_rows() const noexcept { return config().distillation_token ? 2 * at_.images : at_.images; }

  void pool_forward() {
    const Index features = config().pooled_features();
    const T* source = at_.output;
    if (averages() && config().norm) {
      layer_norm_forward(model_.norm, config().epsilon, at_.output, at_.rows, at_.normal, context_);
      source = at_.normal;
    }
    pool_tokens(config(), source, at_.images, at_.pooled);
    std::copy_n(at_.pooled, pooled_rows() * features, at_.normal_pooled);
    if (!averages() && config().norm) {
      layer_norm_forward(model_.norm, config().epsilon, at_.pooled, pooled_rows(), at_.normal_pooled,
                         context_);
    }
    std::copy_n(at_.normal_pooled, pooled_rows() * features, at_.features);
    if (config().fc_norm) {
      layer_norm_forward(model_.fc_norm, config().epsilon, at_.normal_pooled, at_.images, at_.features,
                         context_);
    }
  }

  /// at_.d_features holds the gradient by the features; sets at_.stream to that by the last block's output.
  void pool_backward(Model& gradient) {
    const Index tokens = config().tokens();
    const Index dim = config().dim;
    const Index prefix = config().prefix_tokens();
    const Index features = config().pooled_features();
    const Index size = pooled_rows() * features;
    if (config().fc_norm) {
      std::copy_n(at_.d_features, size, at_.d_pooled);
      std::fill_n(at_.d_features, at_.images * features, T(0));
      layer_norm_backward(model_.fc_norm, config().epsilon, at_.normal_pooled, at_.d_pooled, at_.images,
                          at_.d_features, gradient.fc_norm, context_);
    }
    if (!averages() && config().norm) {
      std::fill_n(at_.d_pooled, size, T(0));
      layer_norm_backward(model_.norm, config().epsilon, at_.pooled, at_.d_features, pooled_rows(),
                          at_.d_pooled, gradient.norm, context_);
    } else {
      std::copy_n(at_.d_features, size, at_.d_pooled);
    }
    std::fill_n(at_.stream, at_.rows * dim, T(0));
    const bool norm_of_tokens = averages() && config().norm;
    T* const d_tokens = norm_of_tokens ? at_.branch : at_.stream;
    if (norm_of_tokens) std::fill_n(at_.branch, at_.rows * dim, T(0));
    for (Index image = 0; image < at_.images; ++image) {
      T* const to = d_tokens + image * tokens * dim;
      const T* const from = at_.d_pooled + image * features;
      if (config().pooling != Pooling::average) std::copy_n(from, dim, to);
      if (config().distillation_token) std::copy_n(at_.d_pooled + (at_.images + image) * dim, dim, to + dim);
      if (averages()) {
        const T share = T(1) / static_cast<T>(tokens - prefix);
        for (Index token = prefix; token < tokens; ++token) {
          for (Index j = 0; j < dim; ++j) to[token * dim + j] = from[features - dim + j] * share;
        }
      }
    }
    if (norm_of_tokens) {
      layer_norm_backward(model_.norm, config().epsilon, at_.output, at_.branch, at_.rows, at_.stream,
                          gradient.norm, context_);
    }
  }

  // ---- features to logits; with a distillation token the mean of two heads ----

  void head_forward(MutableMatrixView<T> logits) {
    if (config().classes == 0) {
      logits = Eigen::Map<const Matrix<T>>(at_.features, at_.images, config().outputs());
      return;
    }
    linear_forward(model_.head, at_.features, at_.images, {}, logits.data(), logits.outerStride(), context_);
    if (!config().distillation_token) return;
    T* const second = at_.d_logits;
    linear_forward(model_.head_distillation, at_.features + at_.images * config().dim, at_.images, {}, second,
                   context_);
    for (Index image = 0; image < at_.images; ++image) {
      T* const row = logits.data() + image * logits.outerStride();
      const T* const other = second + image * config().classes;
      for (Index i = 0; i < config().classes; ++i) row[i] = (row[i] + other[i]) / T(2);
    }
  }

  void head_backward(const T* d_logits, Model& gradient) {
    const Index size = at_.images * config().outputs();
    if (config().classes == 0) {
      std::fill_n(at_.d_features, pooled_rows() * config().pooled_features(), T(0));
      std::copy_n(d_logits, size, at_.d_features);
      return;
    }
    const T share = config().distillation_token ? T(0.5) : T(1);
    for (Index i = 0; i < size; ++i) at_.d_logits[i] = d_logits[i] * share;
    linear_backward_input(model_.head, at_.d_logits, at_.images, at_.d_features, context_);
    linear_backward_weights(at_.d_logits, at_.features, at_.images, gradient.head, context_);
    if (config().distillation_token) {
      const Index second = at_.images * config().dim;
      linear_backward_input(model_.head_distillation, at_.d_logits, at_.images, at_.d_features + second,
                            context_);
      linear_backward_weights(at_.d_logits, at_.features + second, at_.images, gradient.head_distillation,
                              context_);
    }
  }

  const Model& model_;
  const Activations& at_;
  bool recompute_;
  LayerContext<T>& context_;
};

}  // namespace vbp::inline VBP_ABI::detail
