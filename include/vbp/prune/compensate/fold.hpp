#pragma once
/// Mean-shift compensation and the cutting of rows and columns (VBP, section 3.3), on plain Eigen matrices
/// and on whole blocks. Everything is checked before anything is written.

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/concepts.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// Throws ValueError unless the indices ascend without repetition within [0, width).
inline void require_indices(std::span<const Index> indices, Index width) {
  Index last = -1;
  for (const Index index : indices) {
    if (index < 0 || index >= width) {
      throw ValueError("index " + std::to_string(index) + " is outside [0, " + std::to_string(width) + ")");
    }
    if (index <= last) {
      throw ValueError("indices must ascend without repetition, but " + std::to_string(index) + " follows " +
                       std::to_string(last));
    }
    last = index;
  }
}

/// The indices of [0, width) that are not in kept, ascending.
inline std::vector<Index> complement(std::span<const Index> kept, Index width) {
  require_indices(kept, width);
  std::vector<Index> rest;
  rest.reserve(static_cast<std::size_t>(width) - kept.size());
  auto next = kept.begin();
  for (Index i = 0; i < width; ++i) {
    if (next != kept.end() && *next == i) {
      ++next;
    } else {
      rest.push_back(i);
    }
  }
  return rest;
}

/// The kept rows of a matrix, in order: W1 after pruning.
template <class Derived>
Matrix<typename Derived::Scalar> select_rows(const Eigen::MatrixBase<Derived>& matrix,
                                             std::span<const Index> kept) {
  const MatrixView<typename Derived::Scalar> source(matrix.derived());
  require_indices(kept, source.rows());
  Matrix<typename Derived::Scalar> result(static_cast<Index>(kept.size()), source.cols());
  for (Index r = 0; r < result.rows(); ++r) result.row(r) = source.row(kept[static_cast<std::size_t>(r)]);
  return result;
}

/// The kept columns of a matrix, in order: W2 after pruning.
template <class Derived>
Matrix<typename Derived::Scalar> select_columns(const Eigen::MatrixBase<Derived>& matrix,
                                                std::span<const Index> kept) {
  const MatrixView<typename Derived::Scalar> source(matrix.derived());
  require_indices(kept, source.cols());
  Matrix<typename Derived::Scalar> result(source.rows(), static_cast<Index>(kept.size()));
  for (Index r = 0; r < result.rows(); ++r) {
    for (Index c = 0; c < result.cols(); ++c) result(r, c) = source(r, kept[static_cast<std::size_t>(c)]);
  }
  return result;
}

/// The kept elements of a vector, in order: b1 after pruning.
template <class Derived>
Vector<typename Derived::Scalar> select(const Eigen::MatrixBase<Derived>& vector,
                                        std::span<const Index> kept) {
  const VectorView<typename Derived::Scalar> source(vector.derived());
  require_indices(kept, source.size());
  Vector<typename Derived::Scalar> result(static_cast<Index>(kept.size()));
  for (Index i = 0; i < result.size(); ++i) result(i) = source(kept[static_cast<std::size_t>(i)]);
  return result;
}

/// The bias that carries the pruned neurons' means: b2 + W2[:, P] mu[P], accumulated in double.
/// fc2_weight [out, hidden], fc2_bias [out], mean [hidden], pruned P ascending. Throws ShapeError on sizes
/// that do not fit, ValueError on bad indices and on a mean that is not finite.
template <class Weight, class Bias, class Mean>
Vector<typename Weight::Scalar> fold_means(const Eigen::MatrixBase<Weight>& fc2_weight,
                                           const Eigen::MatrixBase<Bias>& fc2_bias,
                                           const Eigen::MatrixBase<Mean>& mean,
                                           std::span<const Index> pruned) {
  using T = typename Weight::Scalar;
  const MatrixView<T> w2(fc2_weight.derived());
  const VectorView<T> b2(fc2_bias.derived());
  const VectorView<typename Mean::Scalar> mu(mean.derived());
  if (b2.size() != w2.rows() || mu.size() != w2.cols()) {
    throw ShapeError("a weight of [" + std::to_string(w2.rows()) + ", " + std::to_string(w2.cols()) +
                     "] cannot fold " + std::to_string(mu.size()) + " means into a bias of " +
                     std::to_string(b2.size()));
  }
  require_indices(pruned, w2.cols());
  for (const Index j : pruned) {
    if (!std::isfinite(mu(j))) throw ValueError("the mean of neuron " + std::to_string(j) + " is not finite");
  }
  Vector<T> folded(b2.size());
  for (Index r = 0; r < w2.rows(); ++r) {
    double sum = static_cast<double>(b2(r));
    for (const Index j : pruned) sum += static_cast<double>(w2(r, j)) * static_cast<double>(mu(j));
    folded(r) = static_cast<T>(sum);
  }
  return folded;
}

/// The hidden width of a block whose four shapes fit together; else throws ShapeError.
template <LinearGeluLinear B>
Index hidden_width(const B& block) {
  // Bound to references first: a member may return its matrix by value.
  const auto& fc1_weight = block.fc1_weight();
  const auto& fc1_bias = block.fc1_bias();
  const auto& fc2_weight = block.fc2_weight();
  const auto& fc2_bias = block.fc2_bias();
  const MatrixView<typename B::Scalar> w1 = fc1_weight;
  const VectorView<typename B::Scalar> b1 = fc1_bias;
  const MatrixView<typename B::Scalar> w2 = fc2_weight;
  const VectorView<typename B::Scalar> b2 = fc2_bias;
  if (b1.size() != w1.rows() || w2.cols() != w1.rows() || b2.size() != w2.rows()) {
    throw ShapeError("fc1 [" + std::to_string(w1.rows()) + ", " + std::to_string(w1.cols()) + "] + [" +
                     std::to_string(b1.size()) + "] and fc2 [" + std::to_string(w2.rows()) + ", " +
                     std::to_string(w2.cols()) + "] + [" + std::to_string(b2.size()) +
                     "] do not fit together");
  }
  return w1.rows();
}

namespace detail {

/// Cuts a block to the kept neurons and gives it this second bias; the caller has checked all of it.
template <LinearGeluLinear B>
void keep(B& block, std::span<const Index> kept, Vector<typename B::Scalar> fc2_bias) {
  using View = MatrixView<typename B::Scalar>;
  // Views into what a member returns by value live until the end of this one expression.
  block.set_weights(select_rows(View(std::as_const(block).fc1_weight()), kept),
                    select(VectorView<typename B::Scalar>(std::as_const(block).fc1_bias()), kept),
                    select_columns(View(std::as_const(block).fc2_weight()), kept), std::move(fc2_bias));
}

/// fold_means on a block.
template <LinearGeluLinear B>
Vector<typename B::Scalar> folded_bias(const B& block, const auto& mean, std::span<const Index> pruned) {
  return fold_means(MatrixView<typename B::Scalar>(block.fc2_weight()),
                    VectorView<typename B::Scalar>(block.fc2_bias()), mean, pruned);
}

}  // namespace detail

/// Cuts a block to its kept neurons (ascending) and compensates nothing. Throws ShapeError where the block's
/// shapes do not fit together, ValueError on bad indices; the block is then unchanged.
template <class B>
void shrink(B& block, std::span<const Index> kept) {
  static_assert(require_linear_gelu_linear<B>());
  require_indices(kept, hidden_width(block));
  detail::keep(block, kept, Vector<typename B::Scalar>(VectorView<typename B::Scalar>(block.fc2_bias())));
}

/// Cuts a block to its kept neurons (ascending) and folds the means [hidden] of the others into its second
/// bias. Throws as shrink and fold_means do; the block is then unchanged.
template <class B, class Mean>
void fold_and_shrink(B& block, std::span<const Index> kept, const Eigen::MatrixBase<Mean>& mean) {
  static_assert(require_linear_gelu_linear<B>());
  detail::keep(block, kept,
               detail::folded_bias(block, mean.derived(), complement(kept, hidden_width(block))));
}

}  // namespace vbp::inline VBP_ABI
