#pragma once
/// What kernels are told by their callers. No vectors here, so that public headers can include it.

#include <cstddef>

namespace vbp::simd {

/// What happens to a tile of A W^T before it is stored.
enum class EpilogueKind { bias, bias_gelu, bias_gelu_tanh, scaled_residual };

/// The operands of an epilogue. All pointers may be null (no bias, scale one, no residual).
template <class T>
struct EpilogueOperands {
  EpilogueKind kind = EpilogueKind::bias;
  const T* bias = nullptr;      ///< [columns]
  const T* scale = nullptr;     ///< [columns], scaled_residual only
  const T* residual = nullptr;  ///< like C, scaled_residual only; may be C itself
  std::ptrdiff_t residual_stride = 0;
};

/// The numbers of one AdamW step, the same for every value of a parameter.
template <class T>
struct AdamWStep {
  T gradient_scale;  ///< of clipping and accumulation
  T beta1;
  T beta2;
  T step_size;          ///< learning rate / (1 - beta1^t)
  T second_correction;  ///< 1 / sqrt(1 - beta2^t)
  T epsilon;
  T decay_factor;  ///< 1 - learning rate * weight decay
};

}  // namespace vbp::simd
