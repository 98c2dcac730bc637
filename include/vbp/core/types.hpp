#pragma once
/// Eigen aliases used in every public interface. Matrices are row-major, as in PyTorch.

#include <concepts>

#include <Eigen/Core>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

using Index = Eigen::Index;

/// Dense row-major matrix; a linear layer's weight is [out, in].
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Dense column vector: a bias, a mean, a layer scale.
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

/// Read-only view of a row-major matrix whose row stride may exceed its number of columns. Binding it to
/// anything else (a column-major matrix, an expression) makes a temporary copy.
template <class T>
using MatrixView = Eigen::Ref<const Matrix<T>, 0, Eigen::OuterStride<>>;

/// Writable view of a row-major matrix. It always refers to the caller's memory and never makes a copy.
template <class T>
using MutableMatrixView = Eigen::Ref<Matrix<T>, 0, Eigen::OuterStride<>>;

/// Read-only view of a contiguous vector.
template <class T>
using VectorView = Eigen::Ref<const Vector<T>>;

}  // namespace vbp::inline VBP_ABI
