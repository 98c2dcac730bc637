#pragma once
/// The forward pass: what the families' inference classes have in common.

#include <type_traits>
#include <utility>

#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/transformer_block.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A transformer's block with packed weights.
template <class T>
struct PackedTransformerBlock {
  LayerNorm<T> norm1;
  PackedLinear<T> qkv, proj;
  Vector<T> layer_scale1;
  LayerNorm<T> norm2;
  PackedLinear<T> fc1, fc2;
  Vector<T> layer_scale2;

  explicit PackedTransformerBlock(const TransformerBlock<T>& block)
      : norm1(block.norm1),
        qkv(pack(block.qkv)),
        proj(pack(block.proj)),
        layer_scale1(block.layer_scale1),
        norm2(block.norm2),
        fc1(pack(block.fc1)),
        fc2(pack(block.fc2)),
        layer_scale2(block.layer_scale2) {}

  Index bytes() const noexcept {
    return qkv.weight.bytes() + proj.weight.bytes() + fc1.weight.bytes() + fc2.weight.bytes();
  }
};

/// A model made ready to run: weights packed for the kernels, a Context, and one arena that grows to the
/// largest batch seen and then is not allocated again. It keeps no reference to the model it was made from.
/// It can be moved; what was moved from can only be assigned to or destroyed. The result is the same, bit for
/// bit, for any number of threads and in any batch.
///
/// `Family` is derived from it and has lay_out(count), which divides the arena for a batch; embed(images),
/// which fills x_; stream(count), which shows x_ as a matrix then; run_blocks(count, observe); and
/// finish(count, logits), which makes the logits of the last block's x_.
template <class Family, class M>
class ModelInference {
 public:
  using Scalar = typename M::Scalar;
  using T = Scalar;
  using Config = typename M::Config;

  /// The model's configuration, with the hidden widths of its weights.
  const Config& config() const noexcept { return config_; }
  const Context& context() const noexcept { return workspace_.context(); }
  ThreadPool& pool() const noexcept { return workspace_.pool(); }

  /// From now on, adds the time that each kind of layer takes in run() to `seconds`; null ends it. The
  /// observer's time counts as fc2's.
  void record(LayerSeconds* seconds) noexcept { clock_.record(seconds); }

  /// Logits [n, classes] of normalised images [n, channels * size * size], whose rows run channel, row,
  /// column. With a distillation token they are the mean of both heads, without a head the pooled features.
  /// observe(block, hidden) is called for each block in order with the MLP's activations after GELU,
  /// [n * tokens or pixels of its stage, hidden], image by image. Throws ShapeError if the images do not fit
  /// the model.
  template <class Observer = NoObserver>
  Matrix<T> operator()(const MatrixView<T>& images, Observer&& observe = {}) {
    Matrix<T> logits(images.rows(), config_.outputs());
    run(images, logits, observe);
    return logits;
  }

  /// The same into the caller's matrix, [n, outputs()]. It allocates nothing once a batch of this size was
  /// seen. Throws ShapeError too if the logits are not of that shape.
  template <class Observer = NoObserver>
  void run(const MatrixView<T>& images, MutableMatrixView<T> logits, Observer&& observe = {}) {
    const Index count = images.rows();
    require_images(images.cols(), config_.image_elements());
    require_logits(logits.rows(), logits.cols(), count, config_.outputs());
    if (count == 0) return;
    family().lay_out(count);
    clock_.start();
    family().embed(images);
    clock_.lap(LayerKind::embedding);
    family().run_blocks(count, observe);
    family().finish(count, logits);
    clock_.lap(LayerKind::head);
  }

  /// What enters the first block, [n * tokens or pixels, dim], of images as operator() takes them.
  Matrix<T> embedded(const MatrixView<T>& images) {
    require_images(images.cols(), config_.image_elements());
    if (images.rows() > 0) {
      family().lay_out(images.rows());
      family().embed(images);
    }
    return family().stream(images.rows());
  }

 protected:
  using PackedLinear = detail::PackedLinear<T>;

  /// Throws what model.validate() throws.
  ModelInference(const M& model, Context context)
      : config_(config_of(model)), workspace_(std::move(context)) {
    require_valid(model);
    if (config_.classes > 0) head_ = pack(model.head);
  }

  /// A whole block on x_, [rows, dim]. attend(qkv, out, out_stride) is the family's attention.
  template <class Attend, class Observer>
  void run_transformer_block(Index index, const PackedTransformerBlock<T>& block, Index rows, Index dim,
                             Attend&& attend, Observer& observe) {
    const Index stride = row_stride<T>(dim);
    normalise(block.norm1, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    multiply(normal_, stride, rows, block.qkv, {}, wide_, 3 * dim, workspace_);
    clock_.lap(LayerKind::qkv);
    attend(wide_, normal_, stride);
    clock_.lap(LayerKind::attention);
    multiply(normal_, stride, rows, block.proj,
             {.kind = kernels::EpilogueKind::scaled_residual,
              .scale = data_or_null(block.layer_scale1),
              .residual = x_,
              .residual_stride = dim},
             x_, dim, workspace_);
    clock_.lap(LayerKind::projection);
    normalise(block.norm2, config_.epsilon, x_, dim, rows, normal_, stride, workspace_);
    clock_.lap(LayerKind::norm);
    run_mlp(index, rows, dim, block.fc1, block.fc2, data_or_null(block.layer_scale2), observe);
  }

  /// Adds scale * fc2(activation(fc1(y))) to x_, [rows, dim], y being the rows of normal_; a null scale is 1.
  template <class Observer>
  void run_mlp(Index index, Index rows, Index dim, const PackedLinear& fc1, const PackedLinear& fc2,
               const T* scale, Observer& observe) {
    const Index hidden = fc1.weight.out();
    const Index hidden_stride = row_stride<T>(hidden);
    multiply(normal_, row_stride<T>(dim), rows, fc1, {.kind = epilogue_of(config_.activation)}, wide_,
             hidden_stride, workspace_);
    clock_.lap(LayerKind::fc1);
    if constexpr (!std::is_same_v<std::remove_cvref_t<Observer>, NoObserver>) {
      using Rows = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;
      observe(index, MatrixView<T>(Rows(wide_, rows, hidden, Eigen::OuterStride<>(hidden_stride))));
    }
    multiply(wide_, hidden_stride, rows, fc2,
             {.kind = kernels::EpilogueKind::scaled_residual,
              .scale = scale,
              .residual = x_,
              .residual_stride = dim},
             x_, dim, workspace_);
    clock_.lap(LayerKind::fc2);
  }

  Family& family() noexcept { return static_cast<Family&>(*this); }

  Config config_;
  kernels::Workspace<T> workspace_;
  AlignedBuffer<T> arena_;
  PackedLinear head_;
  T* x_ = nullptr;       ///< the residual stream or feature map
  T* normal_ = nullptr;  ///< its normalised copy, row_stride apart
  T* wide_ = nullptr;    ///< the widest intermediate
  T* pooled_ = nullptr;  ///< pooled features
  LayerClock clock_;
};

}  // namespace vbp::inline VBP_ABI::detail
