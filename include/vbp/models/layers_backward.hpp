#pragma once
/// Forward and backward of each kind of layer, side by side. `d_x` or `dx` is the gradient of the loss by x.
/// Gradients of parameters are set, not added to.

#include <algorithm>
#include <utility>

#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/activation.hpp"
#include "vbp/kernels/activation_backward.hpp"
#include "vbp/kernels/depthwise.hpp"
#include "vbp/kernels/depthwise_backward.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/layer_norm.hpp"
#include "vbp/kernels/layer_norm_backward.hpp"
#include "vbp/kernels/weight_gradient.hpp"
#include "vbp/kernels/workspace.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/packed_layers.hpp"
#include "vbp/models/transformer_block.hpp"

namespace vbp::inline VBP_ABI {

/// What the layers of one network share: a Context, scratch, and one packed operand at a time, since weights
/// change with every step.
template <class T>
struct LayerContext {
  explicit LayerContext(Context context) : workspace(std::move(context)) {}

  /// Calls body(first, last) for ranges of rows of `columns` values, about 64 KiB each.
  template <class Body>
  void for_rows(Index rows, Index columns, Body&& body) {
    const Index block = std::max<Index>(1, 65536 / (columns * static_cast<Index>(sizeof(T))));
    workspace.pool().parallel_for((rows + block - 1) / block, [&](Index task) {
      body(task * block, std::min(rows, (task + 1) * block));
    });
  }

  Index bytes() const noexcept {
    return workspace.bytes() + packed.bytes() + weight_gradient.bytes() +
           (partial.size() + kernels.size()) * static_cast<Index>(sizeof(T));
  }

  kernels::Workspace<T> workspace;
  kernels::PackedWeight<T> packed;
  kernels::WeightGradient<T> weight_gradient;
  AlignedBuffer<T> partial;  ///< sums that are joined: of layer norms, depthwise convolutions, windows
  AlignedBuffer<T> kernels;  ///< of a depthwise convolution, as its own kernels read and write them
};

/// Memory that one block after the other uses on its way back.
template <class T>
struct Temporaries {
  T* stream = nullptr;                      ///< [rows, dim]: the gradient by the residual stream
  T *normal = nullptr, *branch = nullptr;   ///< like it
  T *wide = nullptr, *activated = nullptr;  ///< [rows, the widest layer], [rows, the widest hidden]

  /// So many elements of each, out of a detail::Arena.
  void allocate_temporaries(Index stream_elements, Index wide_elements, Index hidden_elements, auto& arena) {
    for (T** at : {&stream, &normal, &branch}) *at = arena.allocate(stream_elements);
    wide = arena.allocate(wide_elements);
    activated = arena.allocate(hidden_elements);
  }
};

// ---- y = x W^T + b ----

/// Rows of y are y_stride apart.
template <class T>
void linear_forward(const Linear<T>& layer, const T* x, Index rows, kernels::Epilogue<T> epilogue, T* y,
                    Index y_stride, LayerContext<T>& context) {
  context.packed.assign(layer.weight, context.workspace.pool());
  epilogue.bias = detail::data_or_null(layer.bias);
  kernels::gemm(x, layer.weight.cols(), rows, context.packed, epilogue, y, y_stride, context.workspace);
}

template <class T>
void linear_forward(const Linear<T>& layer, const T* x, Index rows, const kernels::Epilogue<T>& epilogue,
                    T* y, LayerContext<T>& context) {
  linear_forward(layer, x, rows, epilogue, y, layer.weight.rows(), context);
}

/// dx = dy W.
template <class T>
void linear_backward_input(const Linear<T>& layer, const T* dy, Index rows, T* dx, LayerContext<T>& context) {
  context.packed.assign_transposed(layer.weight, context.workspace.pool());
  kernels::gemm(dy, layer.weight.rows(), rows, context.packed, {}, dx, layer.weight.cols(),
                context.workspace);
}

/// dW = dy^T x, db = the sum of dy over the rows.
template <class T>
void linear_backward_weights(const T* dy, const T* x, Index rows, Linear<T>& gradient,
                             LayerContext<T>& context) {
  T* const bias = gradient.bias.size() > 0 ? gradient.bias.data() : nullptr;
  context.weight_gradient(dy, gradient.weight.rows(), x, gradient.weight.cols(), rows, gradient.weight.data(),
                          bias, context.workspace);
}

// ---- layer norm ----

template <class T>
void layer_norm_forward(const LayerNorm<T>& norm, double epsilon, const T* x, Index rows, T* y,
                        LayerContext<T>& context) {
  const Index columns = norm.weight.size();
  kernels::layer_norm(x, columns, rows, columns, norm.weight.data(), norm.bias.data(),
                      static_cast<T>(epsilon), y, columns, context.workspace);
}

/// Adds to dx: a residual stream is the sum of what flows through its branches.
template <class T>
void layer_norm_backward(const LayerNorm<T>& norm, double epsilon, const T* x, const T* dy, Index rows, T* dx,
                         LayerNorm<T>& gradient, LayerContext<T>& context) {
  const Index columns = norm.weight.size();
  context.partial.reserve(kernels::layer_norm_backward_elements(rows, columns));
  kernels::layer_norm_backward(x, dy, rows, columns, norm.weight.data(), static_cast<T>(epsilon), dx,
                               gradient.weight.data(), gradient.bias.data(), context.partial.data(),
                               context.workspace);
}

// ---- y = the 7x7 convolution of each channel by itself, of square maps [images * side * side, dim] ----

template <class T>
void depthwise_forward(const Linear<T>& layer, const T* x, Index images, Index side, T* y,
                       LayerContext<T>& context) {
  const Index dim = layer.weight.rows();
  context.kernels.reserve(49 * dim);
  Eigen::Map<Matrix<T>>(context.kernels.data(), 49, dim) = layer.weight.transpose();
  kernels::depthwise_7x7(x, dim, images, side, side, dim, context.kernels.data(), layer.bias.data(), y, dim,
                         context.workspace);
}

/// Adds to dx, by way of `scratch`, which is shaped like it.
template <class T>
void depthwise_backward(const Linear<T>& layer, const T* x, const T* dy, Index images, Index side, T* dx,
                        T* scratch, Linear<T>& gradient, LayerContext<T>& context) {
  const Index dim = layer.weight.rows();
  context.kernels.reserve(2 * 49 * dim);
  context.partial.reserve(kernels::depthwise_7x7_weight_gradient_elements(images, side, side, dim));
  Eigen::Map<Matrix<T>> weight(context.kernels.data(), 49, dim);
  T* const second = context.kernels.data() + 49 * dim;
  weight = layer.weight.transpose();
  kernels::depthwise_7x7_input_gradient(dy, images, side, side, dim, weight.data(), second, scratch,
                                        context.workspace);
  context.for_rows(images * side * side, dim, [&](Index first, Index last) {
    for (Index i = first * dim; i < last * dim; ++i) dx[i] += scratch[i];
  });
  kernels::depthwise_7x7_weight_gradient(x, dy, images, side, side, dim, second, gradient.bias.data(),
                                         context.partial.data(), context.workspace);
  gradient.weight = Eigen::Map<const Matrix<T>>(second, 49, dim).transpose();
}

// ---- y = the mean over the rows of each image ----

template <class T>
void average_forward(const T* x, Index images, Index rows, Index dim, T* y, LayerContext<T>& context) {
  detail::average_maps(x, images, rows, dim, y, context.workspace.pool());
}

template <class T>
void average_backward(const T* dy, Index images, Index rows, Index dim, T* dx, LayerContext<T>& context) {
  const T share = T(1) / static_cast<T>(rows);
  context.for_rows(images * rows, dim, [&](Index first, Index last) {
    for (Index i = first; i < last; ++i) {
      for (Index j = 0; j < dim; ++j) dx[i * dim + j] = dy[i / rows * dim + j] * share;
    }
  });
}

// ---- the classification head; without one the logits are the features [images, dim] ----

template <class T>
void head_forward(const Linear<T>& head, const T* features, Index dim, MutableMatrixView<T> logits,
                  LayerContext<T>& context) {
  if (head.weight.size() == 0) {
    logits = Eigen::Map<const Matrix<T>>(features, logits.rows(), dim);
  } else {
    linear_forward(head, features, logits.rows(), {}, logits.data(), logits.outerStride(), context);
  }
}

template <class T>
void head_backward(const Linear<T>& head, const T* d_logits, const T* features, Index images, Index dim,
                   T* d_features, Linear<T>& gradient, LayerContext<T>& context) {
  if (head.weight.size() == 0) {
    std::copy_n(d_logits, images * dim, d_features);
  } else {
    linear_backward_input(head, d_logits, images, d_features, context);
    linear_backward_weights(d_logits, features, images, gradient, context);
  }
}

// ---- GELU ----

template <class T>
void activation_forward(Activation activation, const T* x, Index rows, Index columns, T* y,
                        LayerContext<T>& context) {
  context.for_rows(rows, columns, [&](Index first, Index last) {
    const auto function = activation == Activation::gelu ? &kernels::gelu<T> : &kernels::gelu_tanh<T>;
    function(x + first * columns, (last - first) * columns, y + first * columns);
  });
}

/// dy becomes dx; the forward pass's y is computed again from x.
template <class T>
void activation_backward(Activation activation, const T* x, Index rows, Index columns, T* y, T* dy,
                         LayerContext<T>& context) {
  context.for_rows(rows, columns, [&](Index first, Index last) {
    const auto function =
        activation == Activation::gelu ? &kernels::gelu_backward<T> : &kernels::gelu_tanh_backward<T>;
    function(x + first * columns, (last - first) * columns, y + first * columns, dy + first * columns);
  });
}

// ---- out = in + scale * (h W^T + b), the end of a residual branch; scale is empty for one ----

template <class T>
void residual_forward(const Linear<T>& layer, const Vector<T>& scale, const T* h, const T* in, Index rows,
                      T* out, LayerContext<T>& context) {
  linear_forward(layer, h, rows,
                 {.kind = kernels::EpilogueKind::scaled_residual,
                  .scale = detail::data_or_null(scale),
                  .residual = in,
                  .residual_stride = layer.weight.rows()},
                 out, context);
}

/// dh = (dout * scale) W; `scratch` is shaped like dout.
template <class T>
void residual_backward_input(const Linear<T>& layer, const Vector<T>& scale, const T* dout, Index rows, T* dh,
                             T* scratch, LayerContext<T>& context) {
  if (scale.size() > 0) {
    const Index dim = scale.size();
    context.for_rows(rows, dim, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i) {
        for (Index j = 0; j < dim; ++j) scratch[i * dim + j] = dout[i * dim + j] * scale.data()[j];
      }
    });
    dout = scratch;
  }
  linear_backward_input(layer, dout, rows, dh, context);
}

/// With G = dout^T h and g = the sum of dout over the rows: dW = diag(scale) G, db = scale * g, and
/// dscale_i = sum over rows of dout_i (h W^T + b)_i = W_i . G_i + b_i g_i, so that the branch's output need
/// not be kept.
template <class T>
void residual_backward_weights(const Linear<T>& layer, const Vector<T>& scale, const T* dout, const T* h,
                               Index rows, Linear<T>& gradient, Vector<T>& scale_gradient,
                               LayerContext<T>& context) {
  linear_backward_weights(dout, h, rows, gradient, context);
  if (scale.size() == 0) return;
  context.workspace.pool().parallel_for(scale.size(), [&](Index i) {
    scale_gradient[i] = layer.weight.row(i).dot(gradient.weight.row(i)) + layer.bias[i] * gradient.bias[i];
    gradient.weight.row(i) *= scale[i];
    gradient.bias[i] *= scale[i];
  });
}

// ---- out = in + scale * fc2(gelu(fc1(norm(x)))), the MLP of a block; x and in are one in most families ----

template <class T>
struct MlpBranch {
  const Mlp<T>& mlp;
  const LayerNorm<T>& norm;
  const Vector<T>& scale;
  double epsilon;
  Activation activation;
};

template <class T>
struct MlpGradient {
  Mlp<T>& mlp;
  LayerNorm<T>& norm;
  Vector<T>& scale;
};

/// `hidden` gets what enters the activation. Without an `out` nothing beyond that is computed.
template <class T>
void mlp_forward(const MlpBranch<T>& of, const T* x, const T* in, Index rows, T* hidden, T* out,
                 const Temporaries<T>& at, LayerContext<T>& context) {
  layer_norm_forward(of.norm, of.epsilon, x, rows, at.normal, context);
  linear_forward(of.mlp.fc1, at.normal, rows, {}, hidden, context);
  if (out == nullptr) return;
  activation_forward(of.activation, hidden, rows, of.mlp.fc1.weight.rows(), at.activated, context);
  residual_forward(of.mlp.fc2, of.scale, at.activated, in, rows, out, context);
}

/// at.stream is the gradient by `out`, and by `in` too. Adds that by x to dx, which is at.stream where x is
/// the stream, or at.normal, which is cleared before.
template <class T>
void mlp_backward(const MlpBranch<T>& of, const T* x, const T* hidden, Index rows, T* dx,
                  const MlpGradient<T>& gradient, const Temporaries<T>& at, LayerContext<T>& context) {
  T* const d_hidden = at.wide;
  residual_backward_input(of.mlp.fc2, of.scale, at.stream, rows, d_hidden, at.branch, context);
  activation_backward(of.activation, hidden, rows, of.mlp.fc1.weight.rows(), at.activated, d_hidden, context);
  residual_backward_weights(of.mlp.fc2, of.scale, at.stream, at.activated, rows, gradient.mlp.fc2,
                            gradient.scale, context);
  layer_norm_forward(of.norm, of.epsilon, x, rows, at.normal, context);
  linear_backward_weights(d_hidden, at.normal, rows, gradient.mlp.fc1, context);
  linear_backward_input(of.mlp.fc1, d_hidden, rows, at.branch, context);
  if (dx == at.normal) std::fill_n(dx, rows * of.norm.weight.size(), T(0));
  layer_norm_backward(of.norm, of.epsilon, x, at.branch, rows, dx, gradient.norm, context);
}

// ---- the block of a transformer: see TransformerBlock ----

/// What the block keeps for the way back. Rows are tokens, or pixels.
template <class T>
struct TransformerBlockActivations {
  static constexpr Index kWidest = 3;  ///< the widest layer but the MLP's, in multiples of the stream's width

  T* input = nullptr;     ///< [rows, dim]
  T* qkv = nullptr;       ///< [rows, 3 dim]
  T* attended = nullptr;  ///< [rows, dim]: the output of the heads
  T* middle = nullptr;    ///< [rows, dim]: the residual stream between attention and MLP
  T* hidden = nullptr;    ///< [rows, hidden], before the activation

  /// All but the input, which has `stream_elements`, out of a detail::Arena.
  void allocate(Index stream_elements, Index hidden_elements, auto& arena) {
    qkv = arena.allocate(3 * stream_elements);
    attended = arena.allocate(stream_elements);
    middle = arena.allocate(stream_elements);
    hidden = arena.allocate(hidden_elements);
  }
};

template <class T>
MlpBranch<T> mlp_of(const TransformerBlock<T>& block, double epsilon, Activation activation) {
  return {block, block.norm2, block.layer_scale2, epsilon, activation};
}

/// attend() makes at.attended of at.qkv. Without an `out` only what the backward pass needs is computed.
template <class T, class Attend>
void transformer_block_forward(const TransformerBlock<T>& block, double epsilon, Activation activation,
                               const TransformerBlockActivations<T>& at, Index rows, T* out,
                               const Temporaries<T>& temporaries, LayerContext<T>& context, Attend&& attend) {
  layer_norm_forward(block.norm1, epsilon, at.input, rows, temporaries.normal, context);
  linear_forward(block.qkv, temporaries.normal, rows, {}, at.qkv, context);
  attend();
  residual_forward(block.proj, block.layer_scale1, at.attended, at.input, rows, at.middle, context);
  mlp_forward(mlp_of(block, epsilon, activation), at.middle, at.middle, rows, at.hidden, out, temporaries,
              context);
}

/// temporaries.stream holds the gradient by the block's output and then by its input. attend_back(d_attended,
/// d_qkv) makes the second of the first.
template <class T, class AttendBack>
void transformer_block_backward(const TransformerBlock<T>& block, double epsilon, Activation activation,
                                const TransformerBlockActivations<T>& at, Index rows,
                                TransformerBlock<T>& gradient, const Temporaries<T>& temporaries,
                                LayerContext<T>& context, AttendBack&& attend_back) {
  T* const stream = temporaries.stream;
  T* const d_attended = temporaries.normal;
  T* const d_qkv = temporaries.wide;
  mlp_backward(mlp_of(block, epsilon, activation), at.middle, at.hidden, rows, stream,
               {gradient, gradient.norm2, gradient.layer_scale2}, temporaries, context);
  residual_backward_input(block.proj, block.layer_scale1, stream, rows, d_attended, temporaries.branch,
                          context);
  residual_backward_weights(block.proj, block.layer_scale1, stream, at.attended, rows, gradient.proj,
                            gradient.layer_scale1, context);
  attend_back(d_attended, d_qkv);
  layer_norm_forward(block.norm1, epsilon, at.input, rows, temporaries.normal, context);
  linear_backward_weights(d_qkv, temporaries.normal, rows, gradient.qkv, context);
  linear_backward_input(block.qkv, d_qkv, rows, temporaries.branch, context);
  layer_norm_backward(block.norm1, epsilon, at.input, temporaries.branch, rows, stream, gradient.norm1,
                      context);
}

}  // namespace vbp::inline VBP_ABI
