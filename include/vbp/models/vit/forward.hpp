#pragma once
/// The forward pass of a Vision Transformer.

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/attention.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/models/model_inference.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Whether the mean over the patch tokens is among the pooled features.
inline bool averages(Pooling pooling) noexcept {
  return pooling != Pooling::class_token;
}

/// Gathers what the heads read: of tokens [n * tokens, dim] the pooled features [n, features] that
/// config.pooling asks for. With a distillation token those are [2 n, features]: the class tokens, then the
/// distillation tokens.
template <class T>
void pool_tokens(const VitConfig& config, const T* tokens, Index images, T* pooled) {
  const Index dim = config.dim;
  const Index prefix = config.prefix_tokens();
  const Index features = config.pooled_features();
  for (Index image = 0; image < images; ++image) {
    const T* const from = tokens + image * config.tokens() * dim;
    T* const to = pooled + image * features;
    if (config.pooling != Pooling::average) std::copy_n(from, dim, to);
    if (config.distillation_token) std::copy_n(from + dim, dim, pooled + (images + image) * dim);
    if (averages(config.pooling)) {
      average_rows(from + prefix * dim, config.patches(), dim, to + features - dim);
    }
  }
}

}  // namespace detail

/// A Vision Transformer made ready to run; detail::ModelInference documents how it is used.
template <class T>
class VitInference : public detail::ModelInference<VitInference<T>, VisionTransformer<T>> {
  using Base = detail::ModelInference<VitInference<T>, VisionTransformer<T>>;

 public:
  /// Throws what model.validate() throws.
  explicit VitInference(const VisionTransformer<T>& model, Context context = {})
      : Base(model, std::move(context)) {
    patch_embed_ = detail::pack(model.patch_embed);
    assemble_tokens(model);
    for (const VitBlock<T>& block : model.blocks) blocks_.emplace_back(block);
    norm_ = model.norm;
    fc_norm_ = model.fc_norm;
    if (config_.classes > 0 && config_.distillation_token) {
      head_distillation_ = detail::pack(model.head_distillation);
    }
  }

  /// Bytes that weights, arena and scratch take now.
  Index bytes() const noexcept {
    Index sum = patch_embed_.weight.bytes() + head_.weight.bytes() + head_distillation_.weight.bytes();
    for (const Block& block : blocks_) sum += block.bytes();
    return sum + arena_.size() * static_cast<Index>(sizeof(T)) + workspace_.bytes();
  }

  /// What operator() returns, from the residual stream [n * tokens, dim] that leaves the last block.
  Matrix<T> outputs_of(const MatrixView<T>& last) {
    if (last.cols() != config_.dim || last.rows() % config_.tokens() != 0) {
      throw ShapeError("a stream of [" + std::to_string(last.rows()) + ", " + std::to_string(last.cols()) +
                       "] for a model of " + std::to_string(config_.tokens()) + " tokens of width " +
                       std::to_string(config_.dim));
    }
    const Index count = last.rows() / config_.tokens();
    Matrix<T> logits(count, config_.outputs());
    if (count == 0) return logits;
    lay_out(count);
    stream(count) = last;
    finish(count, logits);
    return logits;
  }

 private:
  friend Base;
  using Base::arena_, Base::config_, Base::head_, Base::normal_, Base::pooled_, Base::wide_, Base::workspace_,
      Base::x_;
  using typename Base::PackedLinear;

  using Block = detail::PackedTransformerBlock<T>;

  /// Makes start_, which the residual stream of each image starts from: the prefix tokens plus their
  /// positions, and the positions of the patches.
  void assemble_tokens(const VisionTransformer<T>& model) {
    const Index prefix = config_.prefix_tokens();
    start_ = Matrix<T>::Zero(config_.tokens(), config_.dim);
    Index row = 0;
    if (config_.class_token) start_.row(row++) = model.class_token;
    if (config_.distillation_token) start_.row(row++) = model.distillation_token;
    // Without register tokens the matrix is 0 x 0, which Eigen does not take for 0 x dim.
    if (config_.register_tokens > 0) start_.middleRows(row, config_.register_tokens) = model.register_tokens;
    if (config_.position_covers_prefix) {
      start_ += model.positions;
    } else {
      start_.bottomRows(config_.tokens() - prefix) += model.positions;
    }
  }

  /// The residual stream of a batch, [n * tokens, dim].
  Eigen::Map<Matrix<T>> stream(Index count) { return {x_, count * config_.tokens(), config_.dim}; }

  /// Divides the arena: the residual stream, its normalised copy, the widest intermediate, pooled features.
  void lay_out(Index count) {
    const Index rows = count * config_.tokens();
    const Index dim = config_.dim;
    Index widest = std::max({3 * dim, detail::row_stride<T>(config_.patch_elements()), config_.classes});
    for (const Block& block : blocks_)
      widest = std::max(widest, detail::row_stride<T>(block.fc1.weight.out()));
    using detail::aligned_elements;
    arena_.reserve(aligned_elements(rows * dim) + rows * detail::row_stride<T>(dim) +
                   aligned_elements(rows * widest) + 2 * aligned_elements(count * dim));
    x_ = arena_.data();
    normal_ = x_ + aligned_elements(rows * dim);
    wide_ = normal_ + rows * detail::row_stride<T>(dim);
    pooled_ = wide_ + aligned_elements(rows * widest);
  }

  void multiply(const T* a, Index a_stride, Index rows, const PackedLinear& layer,
                kernels::Epilogue<T> epilogue, T* c, Index c_stride) {
    detail::multiply(a, a_stride, rows, layer, epilogue, c, c_stride, workspace_);
  }

  void normalise(const LayerNorm<T>& norm, const T* from, Index rows, T* to, Index to_stride) {
    detail::normalise(norm, config_.epsilon, from, norm.weight.size(), rows, to, to_stride, workspace_);
  }

  /// Cuts the images into patches, projects them, and lays the residual stream out.
  void embed(const MatrixView<T>& images) {
    const Index count = images.rows();
    const Index patches = config_.patches();
    const Index dim = config_.dim;
    const Index stride = detail::row_stride<T>(config_.patch_elements());
    detail::cut_patches(images, config_.channels, config_.image_size, config_.patch_size, wide_, stride,
                        workspace_.pool());
    const Index prefix = config_.prefix_tokens() * dim;
    for (Index image = 0; image < count; ++image) {
      T* const to = x_ + image * start_.size();
      std::copy_n(start_.data(), prefix, to);
      multiply(wide_ + image * patches * stride, stride, patches, patch_embed_,
               {.kind = kernels::EpilogueKind::scaled_residual,
                .residual = start_.data() + prefix,
                .residual_stride = dim},
               to + prefix, dim);
    }
  }

  template <class Observer>
  void run_blocks(Index count, Observer& observe) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      this->run_transformer_block(
          static_cast<Index>(i), blocks_[i], count * config_.tokens(), config_.dim,
          [&](const T* qkv, T* out, Index stride) {
            kernels::attention(qkv, count, config_.tokens(), config_.heads, config_.head_dim(), out, stride,
                               workspace_);
          },
          observe);
    }
  }

  /// From the stream that leaves the last block to the logits.
  void finish(Index count, MutableMatrixView<T> logits) {
    pool_features(count);
    const Index dim = config_.dim;
    if (config_.classes == 0) {
      logits = Eigen::Map<const Matrix<T>>(pooled_, count, config_.pooled_features());
      return;
    }
    multiply(pooled_, head_.weight.in(), count, head_, {}, logits.data(), logits.outerStride());
    if (!config_.distillation_token) return;
    // The second head reads the second half of `pooled_`, the distillation tokens.
    T* const second = wide_;
    multiply(pooled_ + count * dim, dim, count, head_distillation_, {}, second, config_.classes);
    for (Index image = 0; image < count; ++image) {
      T* const row = logits.data() + image * logits.outerStride();
      const T* const other = second + image * config_.classes;
      for (Index i = 0; i < config_.classes; ++i) row[i] = (row[i] + other[i]) / T(2);
    }
  }

  /// Final norms and pooling into pooled_: [n, features], with a distillation token two such halves.
  void pool_features(Index count) {
    const Index dim = config_.dim;
    const bool averages = detail::averages(config_.pooling);
    if (averages && config_.norm) normalise(norm_, x_, count * config_.tokens(), x_, dim);
    detail::pool_tokens(config_, x_, count, pooled_);
    if (!averages && config_.norm) {
      normalise(norm_, pooled_, config_.distillation_token ? 2 * count : count, pooled_, dim);
    }
    if (config_.fc_norm) normalise(fc_norm_, pooled_, count, pooled_, fc_norm_.weight.size());
  }

  PackedLinear patch_embed_;
  Matrix<T> start_;
  std::vector<Block> blocks_;
  LayerNorm<T> norm_, fc_norm_;
  PackedLinear head_distillation_;
};

}  // namespace vbp::inline VBP_ABI
