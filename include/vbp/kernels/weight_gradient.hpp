#pragma once
/// The gradient of a linear layer's weight and bias: the product of two tall matrices over their rows.

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// dW = dY^T X on the GEMM core. Rows are taken in chunks, of which dY is transposed and X packed, so that
/// memory does not grow with their number; chunks are joined in order, so the result depends on no thread.
/// Holds the memory of a chunk, which grows to the largest layer and stays.
template <class T>
class WeightGradient {
 public:
  /// For y = x weight^T + bias and the gradient of a loss by y: sets weight_gradient [out, in] and, unless
  /// null, bias_gradient [out]. Rows of gradient and x are dense.
  void operator()(const T* gradient, Index out, const T* x, Index in, Index rows, T* weight_gradient,
                  T* bias_gradient, Workspace<T>& workspace);

  /// Bytes held for layers up to these sizes.
  static Index bytes(Index out, Index in, Index rows) noexcept;

  Index bytes() const noexcept {
    return transposed_.size() * static_cast<Index>(sizeof(T)) + packed_.bytes();
  }

 private:
  // A few slices of the GEMM's depth: long enough that adding a chunk to the result costs little.
  static constexpr Index kRows = 1024;
  static constexpr Index kColumns = 32;  // that one task transposes

  static Index chunk_rows(Index rows) noexcept;
  static Index transposed_stride(Index rows) noexcept;
  void transpose(const T* gradient, Index out, Index rows, bool add, T* bias_gradient, ThreadPool& pool);

  AlignedBuffer<T> transposed_;
  PackedWeight<T> packed_;
};

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/weight_gradient-inl.hpp"
#endif
