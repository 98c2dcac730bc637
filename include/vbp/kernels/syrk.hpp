#pragma once
/// Sums of products of deviations for every pair of columns: the building block of streaming covariances.

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/entry.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The deviations of a batch of samples, packed for add_products(). The products are computed in T.
template <class T>
class PackedDeviations {
 public:
  /// Packs x_ij - shift[j] of samples [rows, columns] with row stride `stride`; S is float or double.
  /// Allocates rows * columns * sizeof(T) bytes, with `columns` rounded up to whole panels.
  template <class S>
  PackedDeviations(const S* samples, Index rows, Index stride, Index columns, const T* shift,
                   ThreadPool& pool);

  /// The sum of each column's deviations; NaN or infinite if a sample is.
  const Vector<double>& sum() const noexcept { return sum_; }

  /// Whether the deviations of this column are small enough that no product of two of them overflows T.
  bool products_fit(Index column) const noexcept;

  /// products[i, j] += sum over the samples of deviation i times deviation j, for all i <= j. products is
  /// [columns, columns] with row stride `stride`. Elements below the diagonal are only written where they
  /// share a panel with it. At most 256 products are summed in T before the sum is added in double. The
  /// result is bitwise the same for any number of threads.
  void add_products(double* products, Index stride, ThreadPool& pool) const;

  /// products[i, j] += sum over the samples of deviation i of *this times deviation j of `others`. Both
  /// objects hold deviations of the same samples. products is [columns of *this, columns of `others`].
  void add_products(const PackedDeviations& others, double* products, Index stride, ThreadPool& pool) const;

  /// The sum of each column's squared deviations, which is the diagonal of the products.
  Vector<double> squares(ThreadPool& pool) const;

 private:
  /// Adds the products of one panel with one panel of `others`.
  void add_pair(Index left, const PackedDeviations& others, Index right, double* products,
                Index stride) const;
  Index panels() const noexcept;
  /// Columns that exist in a panel; the others are padding.
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
