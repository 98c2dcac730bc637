#pragma once
/// The forward pass of a Swin Transformer.

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/window_attention.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/model/execution.hpp"
#include "vbp/model/layer_seconds.hpp"
#include "vbp/swin/model.hpp"

namespace vbp {

namespace detail {

/// A block's windows, ready for attention.
template <class T>
kernels::PackedWindows<T> pack_windows(const SwinConfig& config, Index block, const Matrix<T>& table) {
  const Index stage = config.stage_of(block);
  return {{.side = config.side(stage),
           .window = config.window(stage),
           .shift = config.shift(block),
           .pad_before_shift = config.pad_before_shift},
          table,
          config.head_dim(stage)};
}

/// The queries, keys and values of a pixel of zeros, as which windows are filled up.
template <class T>
Vector<T> padding_of(const Linear<T>& qkv) {
  return qkv.bias.size() > 0 ? qkv.bias : Vector<T>(Vector<T>::Zero(qkv.weight.rows()));
}

}  // namespace detail

/// A Swin Transformer made ready to run: weights packed for the kernels, threads, and one arena that grows to
/// the largest batch seen and then is not allocated again. It keeps no reference to the model it was made
/// from. Feature maps are [n * side * side, dim]: channels last, image behind image, row by row. The result
/// is the same, bit for bit, for any number of threads and in any batch.
template <class T>
class SwinInference {
 public:
  using Scalar = T;

  /// Throws what model.validate() throws.
  explicit SwinInference(const SwinTransformer<T>& model, InferenceOptions options = {})
      : config_(model.config), workspace_(options.threads) {
    model.validate();
    patch_embed_ = detail::pack(model.patch_embed);
    patch_norm_ = model.patch_norm;
    for (const SwinMerging<T>& merging : model.mergings) {
      mergings_.push_back({merging.norm, detail::pack(merging.reduction)});
    }
    for (Index i = 0; i < config_.depth(); ++i) {
      const SwinBlock<T>& block = model.blocks[static_cast<std::size_t>(i)];
      blocks_.push_back({block.norm1, detail::pack(block.qkv), detail::padding_of(block.qkv),
                         detail::pack_windows(config_, i, block.position_bias), detail::pack(block.proj),
                         block.norm2, detail::pack(block.fc1), detail::pack(block.fc2)});
    }
    norm_ = model.norm;
    if (config_.classes > 0) head_ = detail::pack(model.head);
  }

  const SwinConfig& config() const noexcept { return config_; }
  ThreadPool& pool() noexcept { return workspace_.pool(); }

  /// Bytes that weights, arena and scratch take now.
  Index bytes() const noexcept {
    Index sum = patch_embed_.weight.bytes() + head_.weight.bytes();
    for (const Merging& merging : mergings_) sum += merging.reduction.weight.bytes();
    for (const Block& block : blocks_) {
      sum += block.qkv.weight.bytes() + block.windows.bytes() + block.proj.weight.bytes() +
             block.fc1.weight.bytes() + block.fc2.weight.bytes();
    }
    return sum + arena_.size() * static_cast<Index>(sizeof(T)) + workspace_.bytes();
  }

  /// Adds the time that each kind of layer takes in run() to `seconds` from now on; null ends it. The
  /// observer's time counts as fc2's.
  void record(LayerSeconds* seconds) noexcept { clock_.record(seconds); }

  /// Logits [n, classes] of images [n, channels * size * size] (a row runs channel, row, column, and is
  /// normalised already); without a head the pooled features. observe(block, hidden) is called for each block
  /// in order with the MLP's activations after GELU [n * pixels of its stage, hidden], image by image. Throws
  /// ShapeError if the images do not fit the model.
  template <class Observer = NoObserver>
  Matrix<T> operator()(const MatrixView<T>& images, Observer&& observe = {}) {
    Matrix<T> logits(images.rows(), config_.outputs());
    run(images, logits.data(), observe);
    return logits;
  }

  /// The same into memory of the caller, [n, outputs()]: allocates nothing once a batch of this size was
  /// seen.
  template <class Observer = NoObserver>
  void run(const MatrixView<T>& images, T* logits, Observer&& observe = {}) {
    detail::require_images(images, config_.image_elements());
    const Index count = images.rows();
    if (count == 0) return;
    lay_out(count);
    clock_.start();
    embed(images);
    clock_.lap(LayerKind::embedding);
    for (Index stage = 0, b = 0; stage < config_.stages(); ++stage) {
      if (stage > 0) {
        merge(stage, count);
        clock_.lap(LayerKind::downsampling);
      }
      for (; b < config_.first_block(stage + 1); ++b) run_block(b, stage, count, observe);
    }
    finish(count, logits);
    clock_.lap(LayerKind::head);
  }

  /// The feature map that enters the first block, [n * pixels(0), dim(0)], of images as operator() takes
  /// them.
  Matrix<T> embedded(const MatrixView<T>& images) {
    detail::require_images(images, config_.image_elements());
    if (images.rows() == 0) return Matrix<T>(0, config_.dim(0));
    lay_out(images.rows());
    embed(images);
    return feature_map(images.rows(), 0);
  }

  /// The feature map that enters `stage` (1 at least), from the one that leaves the stage before.
  Matrix<T> merged(Index stage, const MatrixView<T>& map) {
    const Index count = take(map, stage - 1);
    if (count == 0) return Matrix<T>(0, config_.dim(stage));
    merge(stage, count);
    return feature_map(count, stage);
  }

  /// What operator() returns, from the feature map that leaves the last block.
  Matrix<T> outputs_of(const MatrixView<T>& map) {
    const Index count = take(map, config_.stages() - 1);
    Matrix<T> logits(count, config_.outputs());
    if (count > 0) finish(count, logits.data());
    return logits;
  }

 private:
  using PackedLinear = detail::PackedLinear<T>;

  struct Merging {
    LayerNorm<T> norm;
    PackedLinear reduction;
  };
  struct Block {
    LayerNorm<T> norm1;
    PackedLinear qkv;
    Vector<T> padding;
    kernels::PackedWindows<T> windows;
    PackedLinear proj;
    LayerNorm<T> norm2;
    PackedLinear fc1, fc2;
  };

  /// Divides the arena: the feature map, its normalised copy, the widest intermediate, pooled features.
  void lay_out(Index count) {
    using detail::aligned_elements;
    using detail::row_stride;
    Index map = 0, normal = 0;
    Index wide = row_stride<T>(config_.patch_elements()) * config_.pixels(0);
    for (Index stage = 0, b = 0; stage < config_.stages(); ++stage) {
      const Index pixels = config_.pixels(stage);
      map = std::max(map, pixels * config_.dim(stage));
      normal = std::max(normal, pixels * row_stride<T>(config_.dim(stage)));
      wide = std::max(wide, pixels * 3 * config_.dim(stage));
      if (stage > 0) wide = std::max(wide, pixels * row_stride<T>(4 * config_.dim(stage - 1)));
      for (; b < config_.first_block(stage + 1); ++b) {
        wide = std::max(wide, pixels * row_stride<T>(config_.hidden_widths[static_cast<std::size_t>(b)]));
      }
    }
    arena_.reserve(aligned_elements(count * map) + aligned_elements(count * normal) +
                   aligned_elements(count * wide) + aligned_elements(count * config_.dims.back()));
    x_ = arena_.data();
    normal_ = x_ + aligned_elements(count * map);
    wide_ = normal_ + aligned_elements(count * normal);
    pooled_ = wide_ + aligned_elements(count * wide);
  }

  Eigen::Map<Matrix<T>> feature_map(Index count, Index stage) {
    return {x_, count * config_.pixels(stage), config_.dim(stage)};
  }

  /// Puts the feature map of a stage into the arena; returns the number of its images.
  Index take(const MatrixView<T>& map, Index stage) {
    if (map.cols() != config_.dim(stage) || map.rows() % config_.pixels(stage) != 0) {
      throw ShapeError("a feature map of [" + std::to_string(map.rows()) + ", " + std::to_string(map.cols()) +
                       "] for a stage of " + std::to_string(config_.pixels(stage)) + " pixels of width " +
                       std::to_string(config_.dim(stage)));
    }
    const Index count = map.rows() / config_.pixels(stage);
    if (count > 0) {
      lay_out(count);
      feature_map(count, stage) = map;
    }
    return count;
  }

  /// Cuts the images into patches, projects and normalises them.
  void embed(const MatrixView<T>& images) {
    const Index stride = detail::row_stride<T>(config_.patch_elements());
    const Index rows = images.rows() * config_.pixels(0);
    const Index dim = config_.dim(0);
    detail::cut_patches(images, config_.channels, config_.image_size, config_.patch_size, wide_, stride,
                        workspace_.pool());
    detail::multiply(wide_, stride, rows, patch_embed_, {}, x_, dim, workspace_);
    detail::normalise(patch_norm_, config_.embedding_epsilon, x_, dim, rows, x_, dim, workspace_);
  }

  /// The map that enters `stage`: squares of four pixels side by side, left column first, zeros where an odd
  /// side leaves none; normalised and reduced.
  void merge(Index stage, Index count) {
    const Merging& merging = mergings_[static_cast<std::size_t>(stage - 1)];
    const Index before = config_.dim(stage - 1);
    const Index side_before = config_.side(stage - 1);
    const Index side = config_.side(stage);
    const Index stride = detail::row_stride<T>(4 * before);
    workspace_.pool().parallel_for(count * side, [&](Index task) {
      const T* const map = x_ + task / side * side_before * side_before * before;
      T* to = wide_ + task * side * stride;
      for (Index column = 0; column < side; ++column, to += stride) {
        for (Index place = 0; place < 4; ++place) {
          const Index from_row = task % side * 2 + place % 2;
          const Index from_column = column * 2 + place / 2;
          if (from_row < side_before && from_column < side_before) {
            std::copy_n(map + (from_row * side_before + from_column) * before, before, to + place * before);
          } else {
            std::fill_n(to + place * before, before, T(0));
          }
        }
      }
    });
    const Index rows = count * config_.pixels(stage);
    detail::normalise(merging.norm, config_.embedding_epsilon, wide_, stride, rows, wide_, stride,
                      workspace_);
    detail::multiply(wide_, stride, rows, merging.reduction, {}, x_, config_.dim(stage), workspace_);
  }

  template <class Observer>
  void run_block(Index index, Index stage, Index count, Observer& observe) {
    const Block& block = blocks_[static_cast<std::size_t>(index)];
    const Index dim = config_.dim(stage);
    const Index rows = count * config_.pixels(stage);
    const Index stride = detail::row_stride<T>(dim);
    const Index hidden = block.fc1.weight.out();
    const Index hidden_stride = detail::row_stride<T>(hidden);
    const kernels::Epilogue<T> residual = {
        .kind = kernels::EpilogueKind::scaled_residual, .residual = x_, .residual_stride = dim};
    detail::normalise(block.norm1, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    detail::multiply(normal_, stride, rows, block.qkv, {}, wide_, 3 * dim, workspace_);
    clock_.lap(LayerKind::qkv);
    kernels::window_attention(wide_, count, block.windows, block.padding.data(), normal_, stride, workspace_);
    clock_.lap(LayerKind::attention);
    detail::multiply(normal_, stride, rows, block.proj, residual, x_, dim, workspace_);
    clock_.lap(LayerKind::projection);
    detail::normalise(block.norm2, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    detail::multiply(normal_, stride, rows, block.fc1, {.kind = detail::epilogue_of(config_.activation)},
                     wide_, hidden_stride, workspace_);
    clock_.lap(LayerKind::fc1);
    if constexpr (!std::is_same_v<std::remove_cvref_t<Observer>, NoObserver>) {
      using Rows = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;
      observe(index, MatrixView<T>(Rows(wide_, rows, hidden, Eigen::OuterStride<>(hidden_stride))));
    }
    detail::multiply(wide_, hidden_stride, rows, block.fc2, residual, x_, dim, workspace_);
    clock_.lap(LayerKind::fc2);
  }

  /// From the feature map that leaves the last block to the logits.
  void finish(Index count, T* logits) {
    const Index dim = config_.dims.back();
    const Index pixels = config_.pixels(config_.stages() - 1);
    detail::normalise(norm_, config_.epsilon, x_, dim, count * pixels, x_, dim, workspace_);
    T* const features = config_.classes > 0 ? pooled_ : logits;
    for (Index image = 0; image < count; ++image) {
      detail::average_rows(x_ + image * pixels * dim, pixels, dim, features + image * dim);
    }
    if (config_.classes > 0) {
      detail::multiply(pooled_, dim, count, head_, {}, logits, config_.classes, workspace_);
    }
  }

  SwinConfig config_;
  kernels::Workspace<T> workspace_;
  PackedLinear patch_embed_;
  LayerNorm<T> patch_norm_;
  std::vector<Merging> mergings_;
  std::vector<Block> blocks_;
  LayerNorm<T> norm_;
  PackedLinear head_;
  AlignedBuffer<T> arena_;
  T* x_ = nullptr;
  T* normal_ = nullptr;
  T* wide_ = nullptr;
  T* pooled_ = nullptr;
  detail::LayerClock clock_;
};

}  // namespace vbp
