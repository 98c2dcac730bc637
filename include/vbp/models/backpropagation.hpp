#pragma once
/// The gradient of a loss by every parameter of a model of any family.

#include <utility>

#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/packed_layers.hpp"

namespace vbp::inline VBP_ABI {

struct BackpropagationOptions {
  bool recompute = false;  ///< keep only each block's input and run the block again on the way back
};

namespace detail {

/// Hands out pieces of the memory from `base` on. With a null base it only counts them.
template <class T>
class Arena {
 public:
  explicit Arena(T* base) : base_(base) {}

  T* allocate(Index elements) noexcept {
    T* const at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += aligned_elements(elements);
    return at;
  }
  Index used() const noexcept { return used_; }

 private:
  T* base_;
  Index used_ = 0;
};

}  // namespace detail

/// Bytes of activations and temporaries that a Backpropagation of this model takes for batches of `images`.
template <class Model>
Index activation_bytes(const Model& model, Index images, bool recompute) {
  using T = typename Model::Scalar;
  detail::Arena<T> counted(nullptr);
  typename Model::Backward::Activations().lay_out(config_of(model), images, recompute, counted);
  return counted.used() * static_cast<Index>(sizeof(T));
}

/// Runs a model forward and backward. It refers to the model, whose weights may change between a backward
/// and the next forward pass, but not their shapes. Memory grows to the largest batch seen and then is not
/// allocated again. Results are the same, bit for bit, for any number of threads, and whether activations are
/// kept or recomputed.
///
/// The family's backward.hpp must be included with it. There Model::Backward has `Activations`, the places of
/// a batch's values in memory; forward and backward on them; and bytes() if it owns memory.
template <class Model>
class Backpropagation {
 public:
  using Scalar = typename Model::Scalar;

  /// Throws what model.validate() throws.
  explicit Backpropagation(const Model& model, BackpropagationOptions options = {}, Context context = {})
      : model_(checked(model)),
        config_(config_of(model)),
        recompute_(options.recompute),
        context_(std::move(context)),
        backward_(model_, at_, recompute_, context_) {}

  Backpropagation(const Backpropagation&) = delete;
  Backpropagation& operator=(const Backpropagation&) = delete;

  const Context& context() const noexcept { return context_.workspace.context(); }
  ThreadPool& pool() const noexcept { return context_.workspace.pool(); }

  /// Bytes that activations and scratch take now.
  Index bytes() const noexcept {
    Index sum = arena_.size() * static_cast<Index>(sizeof(Scalar)) + context_.bytes();
    if constexpr (requires { backward_.bytes(); }) sum += backward_.bytes();
    return sum;
  }

  /// logits [n, config.outputs()] of images [n, channels * size * size]: those of the family's inference, up
  /// to rounding. Throws ShapeError if images or logits do not fit the model or there are no images.
  void forward(const MatrixView<Scalar>& images, MutableMatrixView<Scalar> logits) {
    detail::require_images(images.cols(), config_.image_elements());
    if (images.rows() == 0) throw ShapeError("a forward pass of training needs an image");
    detail::require_logits(logits.rows(), logits.cols(), images.rows(), config_.outputs());
    arena_.reserve(activation_bytes(model_, images.rows(), recompute_) / static_cast<Index>(sizeof(Scalar)));
    detail::Arena<Scalar> arena(arena_.data());
    at_.lay_out(config_, images.rows(), recompute_, arena);
    backward_.forward(images, logits);
    images_ = images.rows();
  }

  /// After forward(): sets every parameter of `gradient`, which is shaped like the model, from the gradient
  /// of the loss by the logits [n, config.outputs()]. Throws ShapeError without a forward pass before it, or
  /// if the logits are not of that shape.
  void backward(const MatrixView<Scalar>& d_logits, Model& gradient) {
    if (images_ == 0) throw ShapeError("a backward pass needs a forward pass before it");
    detail::require_logits(d_logits.rows(), d_logits.cols(), images_, config_.outputs());
    images_ = 0;
    d_logits_ = d_logits;
    backward_.backward(d_logits_.data(), gradient);
  }

 private:
  static const Model& checked(const Model& model) {
    model.validate();
    return model;
  }

  const Model& model_;
  typename Model::Config config_;
  bool recompute_;
  LayerContext<Scalar> context_;
  AlignedBuffer<Scalar> arena_;
  typename Model::Backward::Activations at_;
  typename Model::Backward backward_;
  Matrix<Scalar> d_logits_;
  Index images_ = 0;  ///< of the batch that went forward and not yet back; 0 for none
};

}  // namespace vbp::inline VBP_ABI
