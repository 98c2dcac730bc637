#pragma once
/// The gradient of a loss by every parameter of a model of any family.

#include <utility>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layers_backward.hpp"
#include "vbp/models/packed_layers.hpp"

namespace vbp::inline VBP_ABI {

struct BackpropagationOptions {
  int threads = 0;         ///< 0: one a hardware thread
  bool recompute = false;  ///< keep each block's input alone and run the block again on the way back
};

namespace detail {

/// Divides memory from `base` on, or only counts with a null base.
template <class T>
class Arena {
 public:
  explicit Arena(T* base) : base_(base) {}

  T* take(Index elements) noexcept {
    T* const at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += aligned_elements(elements);
    return at;
  }
  Index used() const noexcept { return used_; }

 private:
  T* base_;
  Index used_ = 0;
};

/// What a family says itself, in vit_backpropagation.hpp and its siblings: `Inference`, its forward pass
/// without a way back; `Activations`, where the values of a batch lie; forward and backward on them; and
/// bytes() where it holds memory of its own.
template <class Model>
class Passes;

}  // namespace detail

/// Bytes of activations and temporaries that a Backpropagation of this model takes for batches of `images`.
template <class Model>
Index activation_bytes(const Model& model, Index images, bool recompute) {
  using T = typename Model::Scalar;
  detail::Arena<T> counted(nullptr);
  typename detail::Passes<Model>::Activations().lay_out(model.config, images, recompute, counted);
  return counted.used() * static_cast<Index>(sizeof(T));
}

/// Runs a model forward and backward. It refers to the model, whose weights may change between a backward
/// and the next forward pass. Memory grows to the largest batch seen and then is not allocated again. Results
/// are the same, bit for bit, for any number of threads, and whether activations are kept or recomputed. A
/// family's own header, vit_backpropagation.hpp or a sibling, is to be included with it.
template <class Model>
class Backpropagation {
 public:
  using Scalar = typename Model::Scalar;

  /// Throws what model.validate() throws.
  explicit Backpropagation(const Model& model, BackpropagationOptions options = {})
      : model_(checked(model)),
        recompute_(options.recompute),
        context_(options.threads),
        passes_(model_, at_, recompute_, context_) {}

  Backpropagation(const Backpropagation&) = delete;
  Backpropagation& operator=(const Backpropagation&) = delete;

  ThreadPool& pool() noexcept { return context_.workspace.pool(); }

  /// Bytes that activations and scratch take now.
  Index bytes() const noexcept {
    Index sum = arena_.size() * static_cast<Index>(sizeof(Scalar)) + context_.bytes();
    if constexpr (requires { passes_.bytes(); }) sum += passes_.bytes();
    return sum;
  }

  /// logits [n, config.outputs()] of images [n, channels * size * size], as the family's inference gives them
  /// up to rounding. Throws ShapeError if the images do not fit the model or there are none.
  void forward(const MatrixView<Scalar>& images, Scalar* logits) {
    detail::require_images(images, model_.config.image_elements());
    if (images.rows() == 0) throw ShapeError("a forward pass of training needs an image");
    arena_.reserve(activation_bytes(model_, images.rows(), recompute_) / static_cast<Index>(sizeof(Scalar)));
    detail::Arena<Scalar> arena(arena_.data());
    at_.lay_out(model_.config, images.rows(), recompute_, arena);
    passes_.forward(images, logits);
    forward_ = true;
  }

  /// After forward(): sets every parameter of `gradient`, which is shaped like the model, from the gradient
  /// of the loss by the logits [n, config.outputs()]. Throws ShapeError without a forward pass before it.
  void backward(const Scalar* d_logits, Model& gradient) {
    if (!std::exchange(forward_, false)) {
      throw ShapeError("a backward pass needs a forward pass before it");
    }
    passes_.backward(d_logits, gradient);
  }

 private:
  static const Model& checked(const Model& model) {
    model.validate();
    return model;
  }

  const Model& model_;
  bool recompute_;
  LayerContext<Scalar> context_;
  AlignedBuffer<Scalar> arena_;
  typename detail::Passes<Model>::Activations at_;
  detail::Passes<Model> passes_;
  bool forward_ = false;  ///< a batch went forward and not yet back
};

}  // namespace vbp::inline VBP_ABI
