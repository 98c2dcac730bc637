#pragma once
/// Sums of products of deviations, every pair of columns: what streaming covariances are made of.

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/arch.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// Deviations of a batch of samples, packed for add_products. T is the type in which products are formed.
template <class T>
class PackedDeviations {
 public:
  /// Packs x_ij - shift[j] of `rows` x `columns` samples that are `stride` elements apart; S is float or
  /// double. Takes rows * columns * sizeof(T) bytes, the columns rounded up to the panel.
  template <class S>
  PackedDeviations(const S* samples, Index rows, Index stride, Index columns, const T* shift,
                   ThreadPool& pool)
      : rows_(rows),
        columns_(columns),
        packed_(panels() * kernels_.deviation_panel * rows),
        sum_(Vector<double>::Zero(columns)),
        largest_(Vector<T>::Zero(columns)) {
    pool.parallel_for(panels(), [&](Index panel) {
      const Index first = panel * kernels_.deviation_panel;
      const auto pack = [&](const auto& kernel) {
        kernel(samples + first, rows_, stride, present(panel), shift + first, packed_.data() + first * rows_,
               sum_.data() + first, largest_.data() + first);
      };
      if constexpr (std::is_same_v<S, float>) {
        pack(kernels_.pack_shifted_of_float);
      } else {
        pack(kernels_.pack_shifted_of_double);
      }
    });
  }

  /// Sum of each column's deviations, NaN or infinite where a sample is.
  const Vector<double>& sum() const noexcept { return sum_; }

  /// Whether no product of this column overflows T.
  bool products_fit(Index column) const noexcept {
    const T limit = std::sqrt(std::numeric_limits<T>::max() / T(256));
    return std::isfinite(sum_[column]) && largest_[column] <= limit;
  }

  /// products[i, j] += sum over the samples of deviation i times deviation j for all i <= j; below the
  /// diagonal only what shares a panel with it is written. [columns, columns], rows `stride` apart. At most
  /// 256 products are summed in T before they are added in double; the same bits for any number of threads.
  void add_products(double* products, Index stride, ThreadPool& pool) const {
    pool.parallel_for(panels() * (panels() + 1) / 2, [&](Index pair) {
      // Pairs are numbered column of panels by column: pair = right (right + 1) / 2 + left.
      auto right = static_cast<Index>((std::sqrt(8.0 * static_cast<double>(pair) + 1.0) - 1.0) / 2.0);
      while (right * (right + 1) / 2 > pair) --right;
      while ((right + 1) * (right + 2) / 2 <= pair) ++right;
      add_pair(pair - right * (right + 1) / 2, *this, right, products, stride);
    });
  }

  /// products[i, j] += sum over the samples of deviation i times deviation j of `others`, deviations of the
  /// same samples: [columns, columns of the others].
  void add_products(const PackedDeviations& others, double* products, Index stride, ThreadPool& pool) const {
    pool.parallel_for(panels() * others.panels(), [&](Index pair) {
      add_pair(pair % panels(), others, pair / panels(), products, stride);
    });
  }

  /// Sum of each column's squared deviations, the diagonal of the products.
  Vector<double> squares(ThreadPool& pool) const {
    Vector<double> sum = Vector<double>::Zero(columns_);
    pool.parallel_for(panels(), [&](Index panel) {
      const Index first = panel * kernels_.deviation_panel;
      kernels_.add_panel_squares(packed_.data() + first * rows_, rows_, present(panel), sum.data() + first);
    });
    return sum;
  }

 private:
  /// Of one panel and one of `others`.
  void add_pair(Index left, const PackedDeviations& others, Index right, double* products,
                Index stride) const {
    const Index width = kernels_.deviation_panel;
    kernels_.add_panel_products(
        packed_.data() + left * width * rows_, others.packed_.data() + right * width * rows_, rows_,
        present(left), others.present(right), products + left * width * stride + right * width, stride);
  }

  Index panels() const noexcept {
    return (columns_ + kernels_.deviation_panel - 1) / kernels_.deviation_panel;
  }
  Index present(Index panel) const noexcept {
    return std::min(kernels_.deviation_panel, columns_ - panel * kernels_.deviation_panel);
  }

  const KernelTable<T>& kernels_ = table<T>();
  Index rows_;
  Index columns_;
  AlignedBuffer<T> packed_;
  Vector<double> sum_;
  Vector<T> largest_;
};

}  // namespace vbp::inline VBP_ABI::kernels
