#pragma once
/// The arguments of kernels. This header uses no vector types, so that public headers can include it.

#include <cstddef>

namespace vbp::simd {

/// The operation that is applied to a tile of A W^T before it is stored.
enum class EpilogueKind { bias, bias_gelu, bias_gelu_tanh, scaled_residual };

/// The operands of an epilogue. Each pointer may be null, which means no bias, scale 1 or no residual.
template <class T>
struct EpilogueOperands {
  EpilogueKind kind = EpilogueKind::bias;
  const T* bias = nullptr;      ///< [columns]
  const T* scale = nullptr;     ///< [columns], scaled_residual only
  const T* residual = nullptr;  ///< in the shape of C, scaled_residual only; may be C itself
  std::ptrdiff_t residual_stride = 0;
};

/// The scalars of one AdamW step, which are the same for every value of a parameter.
template <class T>
struct AdamWStep {
  T gradient_scale;  ///< the factor of gradient clipping and accumulation
  T beta1;
  T beta2;
  T step_size;          ///< learning rate / (1 - beta1^t)
  T second_correction;  ///< 1 / sqrt(1 - beta2^t)
  T epsilon;
  T decay_factor;  ///< 1 - learning rate * weight decay
};

}  // namespace vbp::simd
