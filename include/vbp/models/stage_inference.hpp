#pragma once
/// The forward pass of networks of stages.

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/model_inference.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A network of stages made ready to run. Feature maps are [n * side * side, dim]: channels last, image
/// behind image, row by row.
///
/// `Family` is derived from it and has pack_reduction(layer), which packs a transition's linear layer;
/// run_block(index, stage, count, observe); block_bytes(); and kWidest: the widest layer that reads a stage's
/// pixels and belongs to no MLP is kWidest times their width.
template <class Family, class M>
class StageInference : public ModelInference<Family, M> {
  using Base = ModelInference<Family, M>;

 public:
  using typename Base::T;

  /// Bytes that weights, arena and scratch take now.
  Index bytes() const noexcept {
    Index sum = embedding_.weight.bytes() + head_.weight.bytes();
    for (const Transition& transition : transitions_) sum += transition.reduction.weight.bytes();
    return sum + static_cast<const Family&>(*this).block_bytes() +
           arena_.size() * static_cast<Index>(sizeof(T)) + workspace_.bytes();
  }

  /// The feature map that enters `stage` (1 at least), from the one that leaves the stage before.
  Matrix<T> after_transition(Index stage, const MatrixView<T>& map) {
    const Index count = load_map(map, stage - 1);
    if (count == 0) return Matrix<T>(0, config_.dim(stage));
    run_transition(stage, count);
    return feature_map(count, stage);
  }

  /// What operator() returns, from the feature map that leaves the last block.
  Matrix<T> outputs_of(const MatrixView<T>& map) {
    const Index count = load_map(map, config_.stages() - 1);
    Matrix<T> logits(count, config_.outputs());
    if (count > 0) finish(count, logits);
    return logits;
  }

 protected:
  friend Base;
  using Base::arena_, Base::clock_, Base::config_, Base::family, Base::head_, Base::normal_, Base::pooled_,
      Base::wide_, Base::workspace_, Base::x_;
  using typename Base::Config, typename Base::PackedLinear;

  /// What lies between two stages.
  struct Transition {
    LayerNorm<T> norm;
    PackedLinear reduction;
  };

  StageInference(const M& model, Context context)
      : Base(model, std::move(context)),
        embedding_(pack(model.embedding)),
        embedding_norm_(model.embedding_norm),
        norm_(model.norm) {
    for (const StageTransition<T>& transition : model.transitions) {
      transitions_.push_back({transition.norm, Family::pack_reduction(transition.reduction)});
    }
  }

  PackedLinear embedding_;
  LayerNorm<T> embedding_norm_;
  std::vector<Transition> transitions_;  ///< before each stage but the first
  LayerNorm<T> norm_;                    ///< the last one

 private:
  /// Divides the arena.
  void lay_out(Index count) {
    Index map = 0, normal = 0;
    Index wide = row_stride<T>(config_.patch_elements()) * config_.pixels(0);
    for (Index stage = 0, b = 0; stage < config_.stages(); ++stage) {
      const Index pixels = config_.pixels(stage);
      map = std::max(map, pixels * config_.dim(stage));
      normal = std::max(normal, pixels * row_stride<T>(config_.dim(stage)));
      wide = std::max(wide, pixels * Family::kWidest * config_.dim(stage));
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

  Eigen::Map<Matrix<T>> stream(Index count) { return feature_map(count, 0); }

  Eigen::Map<Matrix<T>> feature_map(Index count, Index stage) {
    return {x_, count * config_.pixels(stage), config_.dim(stage)};
  }

  /// Copies the feature map of a stage into the arena; returns the number of its images.
  Index load_map(const MatrixView<T>& map, Index stage) {
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
    const Index dim = config_.dim(0);
    const Index rows = images.rows() * config_.pixels(0);
    const Index stride = row_stride<T>(config_.patch_elements());
    cut_patches(images, config_.channels, config_.image_size, config_.patch_size, wide_, stride,
                workspace_.pool());
    multiply(wide_, stride, rows, embedding_, {}, x_, dim, workspace_);
    normalise(embedding_norm_, config_.embedding_norm_epsilon(), x_, dim, rows, x_, dim, workspace_);
  }

  template <class Observer>
  void run_blocks(Index count, Observer& observe) {
    for (Index stage = 0, b = 0; stage < config_.stages(); ++stage) {
      if (stage > 0) {
        run_transition(stage, count);
        clock_.lap(LayerKind::downsampling);
      }
      for (; b < config_.first_block(stage + 1); ++b) family().run_block(b, stage, count, observe);
    }
  }

  /// From the map that leaves a stage to the one that enters `stage`.
  void run_transition(Index stage, Index count) {
    constexpr StageLayout layout = Config::kLayout;
    const Transition& transition = transitions_[static_cast<std::size_t>(stage - 1)];
    const Index dim = config_.dim(stage - 1);
    const Index side = config_.side(stage - 1);
    const Index rows = count * config_.pixels(stage);
    const Index stride = row_stride<T>(4 * dim);
    const T* map = x_;
    if (!layout.merges_before_norm) {
      normalise(transition.norm, config_.epsilon, x_, dim, count * side * side, normal_, dim, workspace_);
      map = normal_;
    }
    gather_squares(map, count, side, config_.side(stage), dim, layout.columns_first, wide_, stride,
                   workspace_.pool());
    if (layout.merges_before_norm) {
      normalise(transition.norm, config_.embedding_norm_epsilon(), wide_, stride, rows, wide_, stride,
                workspace_);
    }
    multiply(wide_, stride, rows, transition.reduction, {}, x_, config_.dim(stage), workspace_);
  }

  /// From the last map to the features in pooled_.
  void pool_map(Index count) {
    const Index dim = config_.dims.back();
    const Index pixels = config_.pixels(config_.stages() - 1);
    const double epsilon = config_.last_norm_epsilon();
    constexpr bool norm_first = Config::kLayout.norm_before_pooling;
    if (norm_first) normalise(norm_, epsilon, x_, dim, count * pixels, x_, dim, workspace_);
    average_maps(x_, count, pixels, dim, pooled_, workspace_.pool());
    if (!norm_first) normalise(norm_, epsilon, pooled_, dim, count, pooled_, dim, workspace_);
  }

  /// From the feature map that leaves the last block to the logits.
  void finish(Index count, MutableMatrixView<T> logits) {
    pool_map(count);
    const Index features = config_.dims.back();
    if (config_.classes > 0) {
      multiply(pooled_, features, count, head_, {}, logits.data(), logits.outerStride(), workspace_);
    } else {
      logits = Eigen::Map<const Matrix<T>>(pooled_, count, features);
    }
  }
};

}  // namespace vbp::inline VBP_ABI::detail
