#pragma once
/// The matrix product of linear layers: C = epilogue(A W^T), W packed once.

#include <algorithm>
#include <string>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::kernels {

/// What is done to each element of A W^T before it is stored; see Epilogue.
using EpilogueKind = detail::EpilogueKind;

/// bias: + bias; bias_gelu, bias_gelu_tanh: the activation of that; scaled_residual: residual + scale (. +
/// bias). bias and scale are [columns], the residual is shaped like C and may be C; null stands for 0, 1, 0.
template <class T>
using Epilogue = detail::EpilogueOperands<T>;

/// A weight [out, in] in the panels that gemm reads: a width that is no multiple of the panel costs only the
/// padding of its last panel.
template <class T>
class PackedWeight {
 public:
  PackedWeight() = default;

  /// Packs `weight` [out, in]; neither may be 0.
  explicit PackedWeight(const MatrixView<T>& weight) : out_(weight.rows()), in_(weight.cols()) {
    if (out_ <= 0 || in_ <= 0) throw ShapeError("a weight to be packed must not be empty");
    packed_ = AlignedBuffer<T>(panels() * kPanel * in_);
    detail::pack_panels<DefaultArch>(weight.data(), out_, in_, weight.outerStride(), packed_.data());
  }

  Index out() const noexcept { return out_; }
  Index in() const noexcept { return in_; }
  Index panels() const noexcept { return (out_ + kPanel - 1) / kPanel; }
  const T* data() const noexcept { return packed_.data(); }
  Index bytes() const noexcept { return packed_.size() * static_cast<Index>(sizeof(T)); }

 private:
  static constexpr Index kPanel = detail::GemmShape<DefaultArch, T>::columns;
  Index out_ = 0;
  Index in_ = 0;
  AlignedBuffer<T> packed_;
};

/// Rows of A that one task of gemm takes at most, and the scratch it needs, in elements.
template <class T>
Index gemm_scratch_elements(Index rows, Index in) noexcept {
  const Index block = std::min(rows, detail::block_rows<DefaultArch, T>(in));
  return detail::scratch_elements<DefaultArch, T>(block, in);
}

/// C [rows, weight.out()] = epilogue(A [rows, weight.in()] weight^T), rows of A and C their strides apart.
/// The result does not depend on the number of threads. C must not overlap A.
template <class T>
void gemm(const T* a, Index a_stride, Index rows, const PackedWeight<T>& weight, const Epilogue<T>& epilogue,
          T* c, Index c_stride, Workspace<T>& workspace) {
  if (rows <= 0) return;
  workspace.reserve(gemm_scratch_elements<T>(rows, weight.in()));
  const Index limit = detail::block_rows<DefaultArch, T>(weight.in());
  const Index blocks = (rows + limit - 1) / limit;
  const Index threads = workspace.pool().size();
  // Enough tasks that the last ones to end leave little idle; each task packs its rows of A anew, which
  // costs one part in the columns that it computes.
  const Index groups = threads == 1 ? 1 : std::clamp<Index>(4 * threads / blocks, 1, weight.panels());
  workspace.pool().parallel_for(blocks * groups, [&](Index task, int worker) {
    const Index block = task / groups;
    const Index group = task % groups;
    const Index first = block * rows / blocks;
    const Index last = (block + 1) * rows / blocks;
    Epilogue<T> operands = epilogue;
    if (operands.residual != nullptr) operands.residual += first * operands.residual_stride;
    detail::gemm_task<DefaultArch, T>(a + first * a_stride, a_stride, last - first, weight.data(),
                                      weight.out(), weight.in(), group * weight.panels() / groups,
                                      (group + 1) * weight.panels() / groups, operands, c + first * c_stride,
                                      c_stride, workspace.scratch(worker));
  });
}

}  // namespace vbp::kernels
