#pragma once
/// The gradients of a linear layer with respect to its weight and bias.

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// dW = dY^T X, computed by gemm(). The rows are processed in chunks: dY of a chunk is transposed and X is
/// packed, so memory does not grow with the number of rows. The chunks are added in order, so the result does
/// not depend on the number of threads. The object keeps the memory of one chunk of the largest layer so far.
template <class T>
class WeightGradient {
 public:
  /// Sets weight_gradient [out, in] and, unless it is null, bias_gradient [out], where y = x weight^T + bias.
  /// `gradient` [rows, out] is the gradient of a loss with respect to y; its rows and those of x [rows, in]
  /// are contiguous.
  void operator()(const T* gradient, Index out, const T* x, Index in, Index rows, T* weight_gradient,
                  T* bias_gradient, Workspace<T>& workspace);

  /// Bytes that are held after layers of at most these sizes.
  static Index bytes(Index out, Index in, Index rows) noexcept;

  Index bytes() const noexcept {
    return transposed_.size() * static_cast<Index>(sizeof(T)) + packed_.bytes();
  }

 private:
  // A few slices of the GEMM's depth. This is long enough that adding a chunk to the result costs little.
  static constexpr Index kRows = 1024;
  static constexpr Index kColumns = 32;  // columns that one task transposes

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
