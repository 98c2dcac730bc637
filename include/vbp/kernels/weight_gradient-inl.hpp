#pragma once
/// Bodies of weight_gradient.hpp.

#include <algorithm>

#include "vbp/kernels/detail/transpose.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/gemm-inl.hpp"
#include "vbp/kernels/weight_gradient.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
void WeightGradient<T>::operator()(const T* gradient, Index out, const T* x, Index in, Index rows,
                                   T* weight_gradient, T* bias_gradient, Workspace<T>& workspace) {
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
      epilogue = {.kind = EpilogueKind::scaled_residual, .residual = weight_gradient, .residual_stride = in};
    }
    gemm(transposed_.data(), transposed_stride(count), out, packed_, epilogue, weight_gradient, in,
         workspace);
  }
}

template <class T>
Index WeightGradient<T>::bytes(Index out, Index in, Index rows) noexcept {
  const Index count = chunk_rows(rows);
  return (out * transposed_stride(count) + PackedWeight<T>::elements(in, count)) *
         static_cast<Index>(sizeof(T));
}

template <class T>
Index WeightGradient<T>::chunk_rows(Index rows) noexcept {
  const Index chunks = (rows + kRows - 1) / kRows;
  return chunks == 0 ? 0 : (rows + chunks - 1) / chunks;
}

// An odd number of cache lines, so that the rows do not compete for the same sets of the cache.
template <class T>
Index WeightGradient<T>::transposed_stride(Index rows) noexcept {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  return ((rows + line - 1) / line | 1) * line;
}

template <class T>
void WeightGradient<T>::transpose(const T* gradient, Index out, Index rows, bool add, T* bias_gradient,
                                  ThreadPool& pool) {
  const Index stride = transposed_stride(rows);
  pool.parallel_for((out + kColumns - 1) / kColumns, [&](Index task) {
    const Index first = task * kColumns;
    const Index columns = std::min(kColumns, out - first);
    T* const to = transposed_.data() + first * stride;
    entry<simd::Transpose, T>()(gradient + first, rows, columns, out, to, stride);
    if (bias_gradient == nullptr) return;
    for (Index j = 0; j < columns; ++j) {
      const T sum = entry<simd::Sum, T>()(to + j * stride, rows);
      bias_gradient[first + j] = add ? bias_gradient[first + j] + sum : sum;
    }
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
