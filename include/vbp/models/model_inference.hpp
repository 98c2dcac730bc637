#pragma once
/// What running a model has in common in all families.

#include <type_traits>

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layer_seconds.hpp"
#include "vbp/models/packed_layers.hpp"

namespace vbp::inline VBP_ABI::detail {

/// A model made ready to run: weights packed for the kernels, threads, and one arena that grows to the
/// largest batch seen and then is not allocated again. It keeps no reference to the model it was made from.
/// The result is the same, bit for bit, for any number of threads and in any batch.
///
/// `Family` is derived from it and has lay_out(count), which divides the arena for a batch; embed(images),
/// which fills x_; stream(count), what x_ is then as a matrix; run_blocks(count, observe); and finish(count,
/// logits), from the last block's x_.
template <class Family, class M>
class ModelInference {
 public:
  using Scalar = typename M::Scalar;
  using T = Scalar;
  using Config = decltype(M::config);

  const Config& config() const noexcept { return config_; }
  ThreadPool& pool() noexcept { return workspace_.pool(); }

  /// Adds the time that each kind of layer takes in run() to `seconds` from now on; null ends it. The
  /// observer's time counts as fc2's.
  void record(LayerSeconds* seconds) noexcept { clock_.record(seconds); }

  /// Logits [n, classes] of images [n, channels * size * size] (a row runs channel, row, column, and is
  /// normalised already). With a distillation token the mean of both heads; without a head the pooled
  /// features. observe(block, hidden) is called for each block in order with the MLP's activations after GELU
  /// [n * tokens or pixels of its stage, hidden], image by image. Throws ShapeError if the images do not fit
  /// the model.
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
    require_images(images, config_.image_elements());
    const Index count = images.rows();
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
    require_images(images, config_.image_elements());
    if (images.rows() > 0) {
      family().lay_out(images.rows());
      family().embed(images);
    }
    return family().stream(images.rows());
  }

 protected:
  using PackedLinear = detail::PackedLinear<T>;

  /// Throws what model.validate() throws.
  ModelInference(const M& model, InferenceOptions options)
      : config_(model.config), workspace_(options.threads) {
    model.validate();
    if (config_.classes > 0) head_ = pack(model.head);
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
