#pragma once
/// The gradient of a linear layer's weight and bias: the product of two tall matrices over their rows.

#include <algorithm>

#include "vbp/core/aligned.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
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
                  T* bias_gradient, Workspace<T>& workspace) {
    const Index chunks = (rows + kRows - 1) / kRows;
    transposed_.reserve(out * transposed_stride(chunk_rows(rows)));
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      const Index first = chunk * rows / chunks;
      const Index count = (chunk + 1) * rows / chunks - first;
      transpose(gradient + first * out, out, count, chunk > 0, bias_gradient, workspace.pool());
      packed_.assign_transposed(MatrixView<T>(Eigen::Map<const Matrix<T>>(x + first * in, count, in)),
                                workspace.pool());
      Epilogue<T> epilogue;
      if (chunk > 0) {
        epilogue = {
            .kind = EpilogueKind::scaled_residual, .residual = weight_gradient, .residual_stride = in};
      }
      gemm(transposed_.data(), transposed_stride(count), out, packed_, epilogue, weight_gradient, in,
           workspace);
    }
  }

  /// Bytes held for layers up to these sizes.
  static Index bytes(Index out, Index in, Index rows) noexcept {
    const Index count = chunk_rows(rows);
    return (out * transposed_stride(count) + PackedWeight<T>::elements(in, count)) *
           static_cast<Index>(sizeof(T));
  }

  Index bytes() const noexcept {
    return transposed_.size() * static_cast<Index>(sizeof(T)) + packed_.bytes();
  }

 private:
  // A few slices of the GEMM's depth: long enough that adding a chunk to the result costs little.
  static constexpr Index kRows = 1024;
  static constexpr Index kColumns = 32;  // that one task transposes

  static Index chunk_rows(Index rows) noexcept {
    const Index chunks = (rows + kRows - 1) / kRows;
    return chunks == 0 ? 0 : (rows + chunks - 1) / chunks;
  }

  /// An odd number of cache lines, so that the rows do not compete for the same sets.
  static Index transposed_stride(Index rows) noexcept {
    constexpr Index line = 64 / static_cast<Index>(sizeof(T));
    return ((rows + line - 1) / line | 1) * line;
  }

  void transpose(const T* gradient, Index out, Index rows, bool add, T* bias_gradient, ThreadPool& pool) {
    const Index stride = transposed_stride(rows);
    pool.parallel_for((out + kColumns - 1) / kColumns, [&](Index task) {
      const Index first = task * kColumns;
      const Index columns = std::min(kColumns, out - first);
      T* const to = transposed_.data() + first * stride;
      table<T>().transpose(gradient + first, rows, columns, out, to, stride);
      if (bias_gradient == nullptr) return;
      for (Index j = 0; j < columns; ++j) {
        const T sum = table<T>().sum(to + j * stride, rows);
        bias_gradient[first + j] = add ? bias_gradient[first + j] + sum : sum;
      }
    });
  }

  AlignedBuffer<T> transposed_;
  PackedWeight<T> packed_;
};

}  // namespace vbp::inline VBP_ABI::kernels
