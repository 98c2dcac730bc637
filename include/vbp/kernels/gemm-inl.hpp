#pragma once
/// Bodies of gemm.hpp.

#include <algorithm>

#include "vbp/core/error.hpp"
#include "vbp/kernels/detail/gemm.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/gemm.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
PackedWeight<T>::PackedWeight(const MatrixView<T>& weight) {
  reshape(weight.rows(), weight.cols());
  entries_->template get<simd::PackPanels>()(weight.data(), out_, in_, weight.outerStride(), packed_.data());
}

template <class T>
Index PackedWeight<T>::panels() const noexcept {
  const Index columns = entries_->template get<simd::GemmColumns>();
  return (out_ + columns - 1) / columns;
}

template <class T>
void PackedWeight<T>::assign(const MatrixView<T>& weight, ThreadPool& pool) {
  reshape(weight.rows(), weight.cols());
  const Index columns = entries_->template get<simd::GemmColumns>();
  pool.parallel_for(panels(), [&](Index panel) {
    const Index first = panel * columns;
    entries_->template get<simd::PackPanels>()(weight.data() + first * weight.outerStride(),
                                               std::min(columns, out_ - first), in_, weight.outerStride(),
                                               packed_.data() + first * in_);
  });
}

template <class T>
void PackedWeight<T>::assign_transposed(const MatrixView<T>& transposed, ThreadPool& pool) {
  reshape(transposed.cols(), transposed.rows());
  const Index columns = entries_->template get<simd::GemmColumns>();
  pool.parallel_for(panels(), [&](Index panel) {
    const Index first = panel * columns;
    entries_->template get<simd::PackPanelsTransposed>()(
        transposed.data() + first, std::min(columns, out_ - first), in_, transposed.outerStride(),
        packed_.data() + first * in_);
  });
}

template <class T>
Index PackedWeight<T>::panel_columns() noexcept {
  return entry<simd::GemmColumns, T>();
}

template <class T>
Index PackedWeight<T>::elements(Index out, Index in) noexcept {
  const Index columns = panel_columns();
  return (out + columns - 1) / columns * columns * in;
}

template <class T>
void PackedWeight<T>::reshape(Index out, Index in) {
  if (out <= 0 || in <= 0) throw ShapeError("a weight to be packed must not be empty");
  packed_.reserve(elements(out, in));
  out_ = out;
  in_ = in;
}

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
  const Entries<T>& entries = weight.entries();
  workspace.reserve(entries.template get<simd::GemmScratchElements>()(rows, weight.in()));
  const Index tiles = entries.template get<simd::GemmTiles>()(rows, weight.out(), weight.in());
  // Equal runs of tiles. They are short, so that the other threads do not wait long for a delayed thread.
  // They still have about a million multiply-adds each, which takes much longer than starting a task.
  const Index threads = workspace.pool().size();
  const Index work = rows * weight.out() * weight.in() / 1'000'000;
  const Index tasks = threads == 1 ? 1 : std::min(std::clamp(work, threads, 64 * threads), tiles);
  workspace.pool().parallel_for(tasks, [&](Index task, int worker) {
    entries.template get<simd::GemmTask>()(product, task * tiles / tasks, (task + 1) * tiles / tasks,
                                           workspace.scratch(worker));
  });
}

}  // namespace vbp::inline VBP_ABI::kernels
