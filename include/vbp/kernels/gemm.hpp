#pragma once
/// The matrix product of linear layers: C = epilogue(A W^T), W packed once.

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/detail/operands.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// What is done to each element of A W^T before it is stored; see Epilogue.
using EpilogueKind = simd::EpilogueKind;

/// bias: + bias; bias_gelu, bias_gelu_tanh: the activation of that; scaled_residual: residual + scale (. +
/// bias). bias and scale are [columns], the residual is shaped like C and may be C; null stands for 0, 1, 0.
template <class T>
using Epilogue = simd::EpilogueOperands<T>;

/// A weight [out, in] in the panels that gemm reads: a width that is no multiple of the panel costs only the
/// padding of its last panel.
template <class T>
class PackedWeight {
 public:
  PackedWeight() = default;

  /// Packs `weight` [out, in]. Throws ShapeError if either is 0.
  explicit PackedWeight(const MatrixView<T>& weight);

  /// Packs another weight into the same memory, which grows only for a larger one.
  void assign(const MatrixView<T>& weight, ThreadPool& pool);

  /// The same for a weight that is given as its transpose [in, out].
  void assign_transposed(const MatrixView<T>& transposed, ThreadPool& pool);

  Index out() const noexcept { return out_; }
  Index in() const noexcept { return in_; }
  const T* data() const noexcept { return packed_.data(); }
  /// The kernels that it is packed for.
  const Entries<T>& entries() const noexcept { return *entries_; }
  Index bytes() const noexcept { return packed_.size() * static_cast<Index>(sizeof(T)); }

  /// Columns of a panel of the kernels in use.
  static Index panel_columns() noexcept;
  /// Elements that a weight of this shape takes.
  static Index elements(Index out, Index in) noexcept;

 private:
  void reshape(Index out, Index in);

  const Entries<T>* entries_ = &kernels::entries<T>();
  Index out_ = 0;
  Index in_ = 0;
  AlignedBuffer<T> packed_;
};

/// C [rows, weight.out()] = epilogue(A [rows, weight.in()] weight^T), rows of A and C their strides apart. A
/// is read where it lies: fastest where its stride is no multiple of a large power of two. The result does
/// not depend on the number of threads. C must not overlap A.
template <class T>
void gemm(const T* a, Index a_stride, Index rows, const PackedWeight<T>& weight, const Epilogue<T>& epilogue,
          T* c, Index c_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/gemm-inl.hpp"
#endif
