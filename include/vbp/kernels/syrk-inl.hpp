#pragma once
/// Bodies of syrk.hpp.

#include <algorithm>
#include <cmath>
#include <limits>

#include "vbp/kernels/detail/syrk.hpp"
#include "vbp/kernels/entry-inl.hpp"
#include "vbp/kernels/syrk.hpp"

namespace vbp::inline VBP_ABI::kernels {

template <class T>
template <class S>
PackedDeviations<T>::PackedDeviations(const S* samples, Index rows, Index stride, Index columns,
                                      const T* shift, ThreadPool& pool)
    : rows_(rows),
      columns_(columns),
      packed_(panels() * entries_.template get<simd::SyrkColumns>() * rows),
      sum_(Vector<double>::Zero(columns)),
      largest_(Vector<T>::Zero(columns)) {
  pool.parallel_for(panels(), [&](Index panel) {
    const Index first = panel * entries_.template get<simd::SyrkColumns>();
    entries_.template get<simd::PackShifted<S>>()(samples + first, rows_, stride, present(panel),
                                                  shift + first, packed_.data() + first * rows_,
                                                  sum_.data() + first, largest_.data() + first);
  });
}

template <class T>
bool PackedDeviations<T>::products_fit(Index column) const noexcept {
  const T limit = std::sqrt(std::numeric_limits<T>::max() / T(256));
  return std::isfinite(sum_[column]) && largest_[column] <= limit;
}

template <class T>
void PackedDeviations<T>::add_products(double* products, Index stride, ThreadPool& pool) const {
  pool.parallel_for(panels() * (panels() + 1) / 2, [&](Index pair) {
    // The pairs of panels with left <= right are numbered by `right`: pair = right (right + 1) / 2 + left.
    auto right = static_cast<Index>((std::sqrt(8.0 * static_cast<double>(pair) + 1.0) - 1.0) / 2.0);
    while (right * (right + 1) / 2 > pair) --right;
    while ((right + 1) * (right + 2) / 2 <= pair) ++right;
    add_pair(pair - right * (right + 1) / 2, *this, right, products, stride);
  });
}

template <class T>
void PackedDeviations<T>::add_products(const PackedDeviations& others, double* products, Index stride,
                                       ThreadPool& pool) const {
  pool.parallel_for(panels() * others.panels(), [&](Index pair) {
    add_pair(pair % panels(), others, pair / panels(), products, stride);
  });
}

template <class T>
Vector<double> PackedDeviations<T>::squares(ThreadPool& pool) const {
  Vector<double> sum = Vector<double>::Zero(columns_);
  pool.parallel_for(panels(), [&](Index panel) {
    const Index first = panel * entries_.template get<simd::SyrkColumns>();
    entries_.template get<simd::AddPanelSquares>()(packed_.data() + first * rows_, rows_, present(panel),
                                                   sum.data() + first);
  });
  return sum;
}

template <class T>
void PackedDeviations<T>::add_pair(Index left, const PackedDeviations& others, Index right, double* products,
                                   Index stride) const {
  const Index width = entries_.template get<simd::SyrkColumns>();
  entries_.template get<simd::AddPanelProducts>()(
      packed_.data() + left * width * rows_, others.packed_.data() + right * width * rows_, rows_,
      present(left), others.present(right), products + left * width * stride + right * width, stride);
}

template <class T>
Index PackedDeviations<T>::panels() const noexcept {
  const Index width = entries_.template get<simd::SyrkColumns>();
  return (columns_ + width - 1) / width;
}

template <class T>
Index PackedDeviations<T>::present(Index panel) const noexcept {
  const Index width = entries_.template get<simd::SyrkColumns>();
  return std::min(width, columns_ - panel * width);
}

}  // namespace vbp::inline VBP_ABI::kernels
