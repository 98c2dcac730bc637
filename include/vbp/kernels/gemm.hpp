#pragma once
/// The matrix product of linear layers: C = epilogue(A W^T), W packed once.

#include <algorithm>
#include <string>

#include "vbp/core/aligned.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"
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

  /// Packs `weight` [out, in]; neither may be 0.
  explicit PackedWeight(const MatrixView<T>& weight) {
    reshape(weight.rows(), weight.cols());
    kernels_->pack_panels(weight.data(), out_, in_, weight.outerStride(), packed_.data());
  }

  /// Packs another weight into the same memory, which grows only for a larger one.
  void assign(const MatrixView<T>& weight, ThreadPool& pool) {
    reshape(weight.rows(), weight.cols());
    pool.parallel_for(panels(), [&](Index panel) {
      const Index first = panel * kernels_->panel;
      kernels_->pack_panels(weight.data() + first * weight.outerStride(),
                            std::min<Index>(kernels_->panel, out_ - first), in_, weight.outerStride(),
                            packed_.data() + first * in_);
    });
  }

  /// The same for a weight that is given as its transpose [in, out].
  void assign_transposed(const MatrixView<T>& transposed, ThreadPool& pool) {
    reshape(transposed.cols(), transposed.rows());
    pool.parallel_for(panels(), [&](Index panel) {
      const Index first = panel * kernels_->panel;
      kernels_->pack_panels_transposed(transposed.data() + first,
                                       std::min<Index>(kernels_->panel, out_ - first), in_,
                                       transposed.outerStride(), packed_.data() + first * in_);
    });
  }

  Index out() const noexcept { return out_; }
  Index in() const noexcept { return in_; }
  Index panels() const noexcept { return (out_ + kernels_->panel - 1) / kernels_->panel; }
  const T* data() const noexcept { return packed_.data(); }
  /// The kernels that it is packed for.
  const KernelTable<T>& kernels() const noexcept { return *kernels_; }
  Index bytes() const noexcept { return packed_.size() * static_cast<Index>(sizeof(T)); }

  /// Elements that a weight of this shape takes.
  static Index elements(Index out, Index in) noexcept {
    const Index panel = table<T>().panel;
    return (out + panel - 1) / panel * panel * in;
  }

 private:
  void reshape(Index out, Index in) {
    if (out <= 0 || in <= 0) throw ShapeError("a weight to be packed must not be empty");
    packed_.reserve(elements(out, in));
    out_ = out;
    in_ = in;
  }

  const KernelTable<T>* kernels_ = &table<T>();
  Index out_ = 0;
  Index in_ = 0;
  AlignedBuffer<T> packed_;
};

/// C [rows, weight.out()] = epilogue(A [rows, weight.in()] weight^T), rows of A and C their strides apart. A
/// is read where it lies: fastest where its stride is no multiple of a large power of two. The result does
/// not depend on the number of threads. C must not overlap A.
template <class T>
void gemm(const T* a, Index a_stride, Index rows, const PackedWeight<T>& weight, const Epilogue<T>& epilogue,
          T* c, Index c_stride, Workspace<T>& workspace) {
  if (rows <= 0) return;
  const simd::GemmOperands<T> product = {.a = a,
                                         .a_stride = a_stride,
                                         .rows = rows,
                                         .packed = weight.data(),
                                         .columns = weight.out(),
                                         .depth = weight.in(),
                                         .epilogue = epilogue,
                                         .c = c,
                                         .c_stride = c_stride};
  const KernelTable<T>& kernels = weight.kernels();
  workspace.reserve(kernels.gemm_scratch_elements(rows, weight.in()));
  const Index tiles = kernels.gemm_tiles(rows, weight.out(), weight.in());
  // Equal runs of tiles: short, so that a thread that is held up leaves the others little to wait for, but a
  // million multiply-adds or so, long beside the cost of handing one out.
  const Index threads = workspace.pool().size();
  const Index work = rows * weight.out() * weight.in() / 1'000'000;
  const Index tasks = threads == 1 ? 1 : std::min(std::clamp(work, threads, 64 * threads), tiles);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    kernels.gemm_task(product, task * tiles / tasks, (task + 1) * tiles / tasks, workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
