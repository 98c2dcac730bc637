#pragma once
/// Sets of neurons as ascending indices, and the rows, columns and elements that they select.

#include <algorithm>
#include <span>
#include <vector>

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// Throws ValueError unless the indices ascend without repetition within [0, width).
VBP_FUNCTION [[gnu::cold]] void require_indices(std::span<const Index> indices, Index width);

/// The indices of [0, width) that are not in kept, ascending. Throws as require_indices does.
VBP_FUNCTION [[gnu::cold]] std::vector<Index> complement(std::span<const Index> kept, Index width);

namespace detail {

template <class T>
[[gnu::cold]] Matrix<T> rows_of(const MatrixView<T>& source, std::span<const Index> kept) {
  require_indices(kept, source.rows());
  Matrix<T> result(static_cast<Index>(kept.size()), source.cols());
  T* to = result.data();
  for (const Index row : kept)
    to = std::copy_n(source.data() + row * source.outerStride(), source.cols(), to);
  return result;
}

template <class T>
[[gnu::cold]] Matrix<T> columns_of(const MatrixView<T>& source, std::span<const Index> kept) {
  require_indices(kept, source.cols());
  Matrix<T> result(source.rows(), static_cast<Index>(kept.size()));
  T* to = result.data();
  for (Index row = 0; row < source.rows(); ++row) {
    const T* const from = source.data() + row * source.outerStride();
    for (const Index column : kept) *to++ = from[column];
  }
  return result;
}

template <class T>
[[gnu::cold]] Vector<T> elements_of(const VectorView<T>& source, std::span<const Index> kept) {
  require_indices(kept, source.size());
  Vector<T> result(static_cast<Index>(kept.size()));
  T* to = result.data();
  for (const Index index : kept) *to++ = source.data()[index];
  return result;
}

template <class T>
[[gnu::cold]] Vector<T> copy_of(const VectorView<T>& source) {
  Vector<T> result(source.size());
  std::copy_n(source.data(), source.size(), result.data());
  return result;
}

}  // namespace detail

/// The kept rows of a matrix, in order: W1 after pruning. Throws as require_indices does.
template <class Derived>
Matrix<typename Derived::Scalar> select_rows(const Eigen::MatrixBase<Derived>& matrix,
                                             std::span<const Index> kept) {
  return detail::rows_of<typename Derived::Scalar>(matrix.derived(), kept);
}

/// The kept columns of a matrix, in order: W2 after pruning. Throws as require_indices does.
template <class Derived>
Matrix<typename Derived::Scalar> select_columns(const Eigen::MatrixBase<Derived>& matrix,
                                                std::span<const Index> kept) {
  return detail::columns_of<typename Derived::Scalar>(matrix.derived(), kept);
}

/// The kept elements of a vector, in order: b1 after pruning. Throws as require_indices does.
template <class Derived>
Vector<typename Derived::Scalar> select(const Eigen::MatrixBase<Derived>& vector,
                                        std::span<const Index> kept) {
  return detail::elements_of<typename Derived::Scalar>(vector.derived(), kept);
}

/// The submatrix of the given rows and columns, in their order. The caller has checked the indices.
template <class T>
Matrix<T> submatrix(const Matrix<T>& matrix, std::span<const Index> rows, std::span<const Index> columns) {
  Matrix<T> result(static_cast<Index>(rows.size()), static_cast<Index>(columns.size()));
  T* to = result.data();
  for (const Index row : rows) {
    const T* const from = matrix.data() + row * matrix.cols();
    for (const Index column : columns) *to++ = from[column];
  }
  return result;
}

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/selection-inl.hpp"
#endif
