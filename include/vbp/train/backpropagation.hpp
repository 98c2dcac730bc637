#pragma once
/// The gradient of a loss by every parameter of a Vision Transformer.

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/kernels/attention_backward.hpp"
#include "vbp/train/layers.hpp"
#include "vbp/vit/config.hpp"
#include "vbp/vit/model.hpp"

namespace vbp {

struct BackpropagationOptions {
  int threads = 0;         ///< 0: one a hardware thread
  bool recompute = false;  ///< keep each block's input alone and run the block again on the way back
};

namespace detail {

/// Where the values of one batch lie that the backward pass needs, and its temporaries. Rows are tokens.
template <class T>
struct Activations {
  struct Block {
    T* input = nullptr;     ///< [rows, dim]
    T* qkv = nullptr;       ///< [rows, 3 dim]
    T* attended = nullptr;  ///< [rows, dim]: what the heads give
    T* middle = nullptr;    ///< [rows, dim]: the residual stream between attention and MLP
    T* hidden = nullptr;    ///< [rows, hidden], before the activation
  };

  T* patches = nullptr;  ///< [images * patches, patch elements]
  std::vector<Block> blocks;
  T* output = nullptr;                                                 ///< [rows, dim], of the last block
  T *pooled = nullptr, *normal_pooled = nullptr, *features = nullptr;  ///< [2 images, pooled features] each
  T *d_pooled = nullptr, *d_features = nullptr;                        ///< like them
  T* d_logits = nullptr;                                               ///< [images, outputs]
  T *stream = nullptr, *normal = nullptr, *branch = nullptr;           ///< [rows, dim] each
  T *wide = nullptr, *activated = nullptr;  ///< [rows, the widest layer], [rows, the widest hidden]

  /// Divides the memory from `base` on, or only counts with a null base; returns the elements taken.
  Index divide(const VitConfig& config, Index images, bool recompute, T* base) {
    Index used = 0;
    const auto take = [&](Index elements) {
      T* const at = base == nullptr ? nullptr : base + used;
      used += (elements + 15) / 16 * 16;
      return at;
    };
    const Index rows = images * config.tokens();
    const Index dim = config.dim;
    const Index widest_hidden = *std::max_element(config.hidden_widths.begin(), config.hidden_widths.end());
    patches = take(images * config.patches() * config.patch_elements());
    blocks.resize(config.hidden_widths.size());
    Block shared;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      Block& block = blocks[i];
      T* const input = take(rows * dim);
      if (i == 0 || !recompute) {
        block.qkv = take(rows * 3 * dim);
        block.attended = take(rows * dim);
        block.middle = take(rows * dim);
        block.hidden = take(rows * (recompute ? widest_hidden : config.hidden_widths[i]));
        shared = block;
      } else {
        block = shared;
      }
      block.input = input;
    }
    output = take(rows * dim);
    for (T** at : {&pooled, &normal_pooled, &features, &d_pooled, &d_features}) {
      *at = take(2 * images * config.pooled_features());
    }
    d_logits = take(images * config.outputs());
    for (T** at : {&stream, &normal, &branch}) *at = take(rows * dim);
    wide = take(rows * std::max(3 * dim, widest_hidden));
    activated = take(rows * widest_hidden);
    return used;
  }
};

}  // namespace detail

/// Bytes of activations and temporaries that a Backpropagation of this model takes for batches of `images`.
template <class T>
Index activation_bytes(const VitConfig& config, Index images, bool recompute) {
  detail::Activations<T> counted;
  return counted.divide(config, images, recompute, nullptr) * static_cast<Index>(sizeof(T));
}

/// Runs a model forward and backward. It refers to the model, whose weights may change between a backward
/// and the next forward pass. Memory grows to the largest batch seen and then is not allocated again. Results
/// are the same, bit for bit, for any number of threads, and whether activations are kept or recomputed.
template <class T>
class Backpropagation {
 public:
  /// Throws what model.validate() throws.
  explicit Backpropagation(const VisionTransformer<T>& model, BackpropagationOptions options = {})
      : model_(model), recompute_(options.recompute), context_(options.threads) {
    model.validate();
  }

  const VitConfig& config() const noexcept { return model_.config; }
  ThreadPool& pool() noexcept { return context_.workspace.pool(); }

  /// Bytes that activations and scratch take now.
  Index bytes() const noexcept { return arena_.size() * static_cast<Index>(sizeof(T)) + context_.bytes(); }

  /// logits [n, config().outputs()] of images [n, channels * size * size], as Inference gives them up to
  /// rounding. Throws ShapeError if the images do not fit the model.
  void forward(const MatrixView<T>& images, T* logits) {
    const VitConfig& config = model_.config;
    if (images.cols() != config.image_elements() || images.rows() == 0) {
      throw ShapeError(std::to_string(images.rows()) + " images of " + std::to_string(images.cols()) +
                       " values for a model that takes " + std::to_string(config.image_elements()));
    }
    images_ = images.rows();
    rows_ = images_ * config.tokens();
    arena_.reserve(at_.divide(config, images_, recompute_, nullptr));
    at_.divide(config, images_, recompute_, arena_.data());
    embed_forward(images, at_.blocks.front().input);
    for (std::size_t i = 0; i < model_.blocks.size(); ++i) {
      T* const output = i + 1 < at_.blocks.size() ? at_.blocks[i + 1].input : at_.output;
      block_forward(model_.blocks[i], at_.blocks[i], output);
    }
    pool_forward();
    head_forward(logits);
  }

  /// After forward(): sets every parameter of `gradient`, which is shaped like the model, from the gradient
  /// of the loss by the logits [n, config().outputs()]. Throws ShapeError without a forward pass before it.
  void backward(const T* d_logits, VisionTransformer<T>& gradient) {
    if (images_ == 0) throw ShapeError("a backward pass needs a forward pass before it");
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
    images_ = 0;
  }

 private:
  using Block = typename detail::Activations<T>::Block;

  // ---- patches, tokens, positions ----

  void embed_forward(const MatrixView<T>& images, T* x) {
    const VitConfig& config = model_.config;
    const Index size = config.image_size;
    const Index patch = config.patch_size;
    const Index grid = config.grid();
    const Index elements = config.patch_elements();
    const Index dim = config.dim;
    pool().parallel_for(images_ * grid, [&](Index task) {
      const Index image = task / grid;
      const Index grid_row = task % grid;
      const T* const pixels = images.data() + image * images.outerStride();
      T* to = at_.patches + task * grid * elements;
      for (Index grid_column = 0; grid_column < grid; ++grid_column) {
        for (Index channel = 0; channel < config.channels; ++channel) {
          for (Index row = 0; row < patch; ++row, to += patch) {
            std::copy_n(pixels + (channel * size + grid_row * patch + row) * size + grid_column * patch,
                        patch, to);
          }
        }
      }
    });
    linear_forward(model_.patch_embed, at_.patches, images_ * config.patches(), {}, at_.normal, context_);
    const Index prefix = config.prefix_tokens();
    const Index tokens = config.tokens();
    pool().parallel_for(images_, [&](Index image) {
      for (Index token = 0; token < tokens; ++token) {
        const T* const own = token < prefix ? prefix_token(model_, token)
                                            : at_.normal + (image * (tokens - prefix) + token - prefix) * dim;
        const T* const position = position_row(model_, token);
        T* const to = x + (image * tokens + token) * dim;
        for (Index j = 0; j < dim; ++j) to[j] = position == nullptr ? own[j] : own[j] + position[j];
      }
    });
  }

  void embed_backward(VisionTransformer<T>& gradient) {
    const VitConfig& config = model_.config;
    const Index prefix = config.prefix_tokens();
    const Index tokens = config.tokens();
    const Index dim = config.dim;
    const Index patches = tokens - prefix;
    // Tokens and positions are the same for all images: their gradients are sums over these.
    pool().parallel_for(tokens, [&](Index token) {
      T* const own = token < prefix ? prefix_token(gradient, token) : nullptr;
      T* const position = position_row(gradient, token);
      T* const sum = own != nullptr ? own : position;
      std::fill_n(sum, dim, T(0));
      for (Index image = 0; image < images_; ++image) {
        const T* const from = at_.stream + (image * tokens + token) * dim;
        for (Index j = 0; j < dim; ++j) sum[j] += from[j];
      }
      if (own != nullptr && position != nullptr) std::copy_n(own, dim, position);
    });
    pool().parallel_for(images_, [&](Index image) {
      std::copy_n(at_.stream + (image * tokens + prefix) * dim, patches * dim,
                  at_.normal + image * patches * dim);
    });
    linear_backward_weights(at_.normal, at_.patches, images_ * patches, gradient.patch_embed, context_);
  }

  /// The parameter that a prefix token starts from; `Model` may be const.
  template <class Model>
  static auto prefix_token(Model& model, Index token) noexcept {
    if (model.config.class_token && token-- == 0) return model.class_token.data();
    if (model.config.distillation_token && token-- == 0) return model.distillation_token.data();
    return model.register_tokens.data() + token * model.config.dim;
  }

  /// The position embedding of a token, or null where it has none.
  template <class Model>
  static auto position_row(Model& model, Index token) noexcept {
    const Index row = model.config.position_covers_prefix ? token : token - model.config.prefix_tokens();
    return row < 0 ? nullptr : model.positions.data() + row * model.config.dim;
  }

  // ---- one block: x + ls1 attention(norm1(x)), then x + ls2 fc2(gelu(fc1(norm2(x)))) ----

  /// Without an `output` only what the backward pass needs is computed.
  void block_forward(const VitBlock<T>& block, const Block& at, T* output) {
    const double epsilon = model_.config.epsilon;
    const Index hidden = block.fc1.weight.rows();
    layer_norm_forward(block.norm1, epsilon, at.input, rows_, at_.normal, context_);
    linear_forward(block.qkv, at_.normal, rows_, {}, at.qkv, context_);
    kernels::attention(at.qkv, images_, config().tokens(), config().heads, config().head_dim(), at.attended,
                       context_.workspace);
    residual_forward(block.proj, block.layer_scale1, at.attended, at.input, rows_, at.middle, context_);
    layer_norm_forward(block.norm2, epsilon, at.middle, rows_, at_.normal, context_);
    linear_forward(block.fc1, at_.normal, rows_, {}, at.hidden, context_);
    if (output == nullptr) return;
    activation_forward(config().activation, at.hidden, rows_, hidden, at_.activated, context_);
    residual_forward(block.fc2, block.layer_scale2, at_.activated, at.middle, rows_, output, context_);
  }

  /// at_.stream holds the gradient by the block's output and then by its input.
  void block_backward(const VitBlock<T>& block, const Block& at, VitBlock<T>& gradient) {
    const double epsilon = model_.config.epsilon;
    const Index hidden = block.fc1.weight.rows();
    T* const dx = at_.stream;

    T* const d_hidden = at_.wide;
    residual_backward_input(block.fc2, block.layer_scale2, dx, rows_, d_hidden, at_.branch, context_);
    activation_backward(config().activation, at.hidden, rows_, hidden, at_.activated, d_hidden, context_);
    residual_backward_weights(block.fc2, block.layer_scale2, dx, at_.activated, rows_, gradient.fc2,
                              gradient.layer_scale2, context_);
    layer_norm_forward(block.norm2, epsilon, at.middle, rows_, at_.normal, context_);
    linear_backward_weights(d_hidden, at_.normal, rows_, gradient.fc1, context_);
    linear_backward_input(block.fc1, d_hidden, rows_, at_.branch, context_);
    layer_norm_backward(block.norm2, epsilon, at.middle, at_.branch, rows_, dx, gradient.norm2, context_);

    T* const d_attended = at_.normal;
    T* const d_qkv = at_.wide;
    residual_backward_input(block.proj, block.layer_scale1, dx, rows_, d_attended, at_.branch, context_);
    residual_backward_weights(block.proj, block.layer_scale1, dx, at.attended, rows_, gradient.proj,
                              gradient.layer_scale1, context_);
    kernels::attention_backward(at.qkv, d_attended, images_, config().tokens(), config().heads,
                                config().head_dim(), d_qkv, context_.workspace);
    layer_norm_forward(block.norm1, epsilon, at.input, rows_, at_.normal, context_);
    linear_backward_weights(d_qkv, at_.normal, rows_, gradient.qkv, context_);
    linear_backward_input(block.qkv, d_qkv, rows_, at_.branch, context_);
    layer_norm_backward(block.norm1, epsilon, at.input, at_.branch, rows_, dx, gradient.norm1, context_);
  }

  // ---- from tokens to features; see Pooling ----

  bool averages() const noexcept { return config().pooling != Pooling::class_token; }
  /// Rows of pooled features: with a distillation token there is a second half, its own.
  Index pooled_rows() const noexcept { return config().distillation_token ? 2 * images_ : images_; }

  void pool_forward() {
    const Index tokens = config().tokens();
    const Index dim = config().dim;
    const Index prefix = config().prefix_tokens();
    const Index features = config().pooled_features();
    const T* source = at_.output;
    if (averages() && config().norm) {
      layer_norm_forward(model_.norm, config().epsilon, at_.output, rows_, at_.normal, context_);
      source = at_.normal;
    }
    for (Index image = 0; image < images_; ++image) {
      const T* const from = source + image * tokens * dim;
      T* const to = at_.pooled + image * features;
      if (config().pooling != Pooling::average) std::copy_n(from, dim, to);
      if (config().distillation_token) std::copy_n(from + dim, dim, at_.pooled + (images_ + image) * dim);
      if (averages()) {
        const Eigen::Map<const Matrix<T>> patches(from + prefix * dim, tokens - prefix, dim);
        Eigen::Map<Eigen::Matrix<T, 1, Eigen::Dynamic>>(to + features - dim, dim) = patches.colwise().mean();
      }
    }
    std::copy_n(at_.pooled, pooled_rows() * features, at_.normal_pooled);
    if (!averages() && config().norm) {
      layer_norm_forward(model_.norm, config().epsilon, at_.pooled, pooled_rows(), at_.normal_pooled,
                         context_);
    }
    std::copy_n(at_.normal_pooled, pooled_rows() * features, at_.features);
    if (config().fc_norm) {
      layer_norm_forward(model_.fc_norm, config().epsilon, at_.normal_pooled, images_, at_.features,
                         context_);
    }
  }

  /// at_.d_features holds the gradient by the features; sets at_.stream to that by the last block's output.
  void pool_backward(VisionTransformer<T>& gradient) {
    const Index tokens = config().tokens();
    const Index dim = config().dim;
    const Index prefix = config().prefix_tokens();
    const Index features = config().pooled_features();
    const Index size = pooled_rows() * features;
    if (config().fc_norm) {
      std::copy_n(at_.d_features, size, at_.d_pooled);
      std::fill_n(at_.d_features, images_ * features, T(0));
      layer_norm_backward(model_.fc_norm, config().epsilon, at_.normal_pooled, at_.d_pooled, images_,
                          at_.d_features, gradient.fc_norm, context_);
    }
    if (!averages() && config().norm) {
      std::fill_n(at_.d_pooled, size, T(0));
      layer_norm_backward(model_.norm, config().epsilon, at_.pooled, at_.d_features, pooled_rows(),
                          at_.d_pooled, gradient.norm, context_);
    } else {
      std::copy_n(at_.d_features, size, at_.d_pooled);
    }
    std::fill_n(at_.stream, rows_ * dim, T(0));
    const bool norm_of_tokens = averages() && config().norm;
    T* const d_tokens = norm_of_tokens ? at_.branch : at_.stream;
    if (norm_of_tokens) std::fill_n(at_.branch, rows_ * dim, T(0));
    for (Index image = 0; image < images_; ++image) {
      T* const to = d_tokens + image * tokens * dim;
      const T* const from = at_.d_pooled + image * features;
      if (config().pooling != Pooling::average) std::copy_n(from, dim, to);
      if (config().distillation_token) std::copy_n(at_.d_pooled + (images_ + image) * dim, dim, to + dim);
      if (averages()) {
        const T share = T(1) / static_cast<T>(tokens - prefix);
        for (Index token = prefix; token < tokens; ++token) {
          for (Index j = 0; j < dim; ++j) to[token * dim + j] = from[features - dim + j] * share;
        }
      }
    }
    if (norm_of_tokens) {
      layer_norm_backward(model_.norm, config().epsilon, at_.output, at_.branch, rows_, at_.stream,
                          gradient.norm, context_);
    }
  }

  // ---- features to logits; with a distillation token the mean of two heads ----

  void head_forward(T* logits) {
    if (config().classes == 0) {
      std::copy_n(at_.features, images_ * config().outputs(), logits);
      return;
    }
    linear_forward(model_.head, at_.features, images_, {}, logits, context_);
    if (config().distillation_token) {
      T* const second = at_.d_logits;
      linear_forward(model_.head_distillation, at_.features + images_ * config().dim, images_, {}, second,
                     context_);
      for (Index i = 0; i < images_ * config().classes; ++i) logits[i] = (logits[i] + second[i]) / T(2);
    }
  }

  void head_backward(const T* d_logits, VisionTransformer<T>& gradient) {
    const Index size = images_ * config().outputs();
    if (config().classes == 0) {
      std::fill_n(at_.d_features, pooled_rows() * config().pooled_features(), T(0));
      std::copy_n(d_logits, size, at_.d_features);
      return;
    }
    const T share = config().distillation_token ? T(0.5) : T(1);
    for (Index i = 0; i < size; ++i) at_.d_logits[i] = d_logits[i] * share;
    linear_backward_input(model_.head, at_.d_logits, images_, at_.d_features, context_);
    linear_backward_weights(at_.d_logits, at_.features, images_, gradient.head, context_);
    if (config().distillation_token) {
      const Index second = images_ * config().dim;
      linear_backward_input(model_.head_distillation, at_.d_logits, images_, at_.d_features + second,
                            context_);
      linear_backward_weights(at_.d_logits, at_.features + second, images_, gradient.head_distillation,
                              context_);
    }
  }

  const VisionTransformer<T>& model_;
  bool recompute_;
  LayerContext<T> context_;
  AlignedBuffer<T> arena_;
  detail::Activations<T> at_;
  Index images_ = 0;  ///< of the batch that went forward; 0 once it has gone back
  Index rows_ = 0;
};

}  // namespace vbp
