#pragma once
/// The matrix product of linear layers, C = epilogue(A W^T). W is packed once and used many times.

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/detail/operands.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The operation that is applied to each element of A W^T before it is stored; see Epilogue.
using EpilogueKind = simd::EpilogueKind;

/// The operands of the epilogue of gemm(), with x = A W^T. bias: x + bias. bias_gelu and bias_gelu_tanh: the
/// activation of x + bias. scaled_residual: residual + scale * (x + bias). bias and scale are [columns]; the
/// residual has the shape of C and may be C itself. A null pointer means bias 0, scale 1 or residual 0.
template <class T>
using Epilogue = simd::EpilogueOperands<T>;

/// A weight [out, in], stored in the panels of columns that gemm() reads. `out` need not be a multiple of the
/// panel width; only the last panel is padded.
template <class T>
class PackedWeight {
 public:
  PackedWeight() = default;

  /// Packs `weight` [out, in]. Throws ShapeError if `out` or `in` is 0.
  explicit PackedWeight(const MatrixView<T>& weight);

  /// Packs another weight into the same memory, which grows only if the new weight is larger.
  void assign(const MatrixView<T>& weight, ThreadPool& pool);

  /// Like assign(), for a weight that is given as its transpose [in, out].
  void assign_transposed(const MatrixView<T>& transposed, ThreadPool& pool);

  Index out() const noexcept { return out_; }
  Index in() const noexcept { return in_; }
  Index panels() const noexcept;
  const T* data() const noexcept { return packed_.data(); }
  /// The kernels that packed the weight; gemm() uses the same ones.
  const Entries<T>& entries() const noexcept { return *entries_; }
  Index bytes() const noexcept { return packed_.size() * static_cast<Index>(sizeof(T)); }

  /// Columns of a panel, for the instruction set in use.
  static Index panel_columns() noexcept;
  /// Number of elements that a packed weight of this shape needs.
  static Index elements(Index out, Index in) noexcept;

 private:
  void reshape(Index out, Index in);

  const Entries<T>* entries_ = &kernels::entries<T>();
  Index out_ = 0;
  Index in_ = 0;
  AlignedBuffer<T> packed_;
};

/// C [rows, weight.out()] = epilogue(A [rows, weight.in()] weight^T), where a_stride and c_stride are the row
/// strides of A and C. A is read in place, which is fastest if its row stride is not a multiple of a large
/// power of two. C must not overlap A. The result does not depend on the number of threads.
template <class T>
void gemm(const T* a, Index a_stride, Index rows, const PackedWeight<T>& weight, const Epilogue<T>& epilogue,
          T* c, Index c_stride, Workspace<T>& workspace);

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/gemm-inl.hpp"
#endif
