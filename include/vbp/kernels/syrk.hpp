#pragma once
/// Sums of products of deviations, every pair of columns: what streaming covariances are made of.

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/entry.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Deviations of a batch of samples, packed for add_products. T is the type in which products are formed.
template <class T>
class PackedDeviations {
 public:
  /// Packs x_ij - shift[j] of `rows` x `columns` samples that are `stride` elements apart; S is float or
  /// double. Takes rows * columns * sizeof(T) bytes, the columns rounded up to the panel.
  template <class S>
  PackedDeviations(const S* samples, Index rows, Index stride, Index columns, const T* shift,
                   ThreadPool& pool);

  /// Sum of each column's deviations, NaN or infinite where a sample is.
  const Vector<double>& sum() const noexcept { return sum_; }

  /// Whether no product of this column overflows T.
  bool products_fit(Index column) const noexcept;

  /// products[i, j] += sum over the samples of deviation i times deviation j for all i <= j; below the
  /// diagonal only what shares a panel with it is written. [columns, columns], rows `stride` apart. At most
  /// 256 products are summed in T before they are added in double; the same bits for any number of threads.
  void add_products(double* products, Index stride, ThreadPool& pool) const;

  /// products[i, j] += sum over the samples of deviation i times deviation j of `others`, deviations of the
  /// same samples: [columns, columns of the others].
  void add_products(const PackedDeviations& others, double* products, Index stride, ThreadPool& pool) const;

  /// Sum of each column's squared deviations, the diagonal of the products.
  Vector<double> squares(ThreadPool& pool) const;

 private:
  /// Of one panel and one of `others`.
  void add_pair(Index left, const PackedDeviations& others, Index right, double* products,
                Index stride) const;
  Index panels() const noexcept;
  /// Columns of a panel that are there.
  Index present(Index panel) const noexcept;

  const Entries<T>& entries_ = kernels::entries<T>();
  Index rows_;
  Index columns_;
  AlignedBuffer<T> packed_;
  Vector<double> sum_;
  Vector<T> largest_;
};

}  // namespace vbp::inline VBP_ABI::kernels

#if !defined(VBP_COMPILED)
#include "vbp/kernels/syrk-inl.hpp"
#endif
