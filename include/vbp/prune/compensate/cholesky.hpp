#pragma once
/// Cholesky decomposition in blocks, on the library's own kernels: what every ridge regression is solved by.

#include <algorithm>
#include <cmath>
#include <utility>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/syrk.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI {

/// A = U^T U of a symmetric positive definite A [n, n], U upper triangular, and with it the X of X A = C.
///
/// Right-looking (Golub and Van Loan, Matrix Computations, 4.2.9): a block of rows of U, then the products of
/// its columns off the rest of A. Triangles on the diagonal are inverted, so that everything beyond them is a
/// matrix product. The same bits for any number of threads.
class Cholesky {
 public:
  /// Reads the upper triangle of `a`. The workspace has to outlive this.
  Cholesky(Matrix<double> a, kernels::Workspace<double>& workspace)
      : factor_(std::move(a)), workspace_(workspace) {
    const Index n = factor_.rows();
    // Products are added by their kernel, so that what is left of A is kept as its negative.
    workspace_.pool().parallel_for(n, [&](Index i) { factor_.row(i) *= -1.0; });
    const Vector<double> zero = Vector<double>::Zero(n);
    for (Index first = 0; first < n; first += kBlock) {
      const Index count = std::min(kBlock, n - first), next = first + count, rest = n - next;
      definite_ = invert_triangle(first, count);
      if (!definite_ || rest == 0) break;
      const Matrix<double> inverse = -factor_.block(first, first, count, count).transpose();
      const auto panel = factor_.block(first, next, count, rest);
      packed_.assign_transposed(panel, workspace_.pool());
      multiply(inverse, {}, &factor_(first, next), n);
      const kernels::PackedDeviations<double> columns(&factor_(first, next), count, n, rest, zero.data(),
                                                      workspace_.pool());
      columns.add_products(&factor_(next, next), n, workspace_.pool());
    }
  }

  /// False where A is not positive definite, or not finite; nothing can be solved then.
  bool definite() const noexcept { return definite_; }

  /// X [rows, n] with X A = C, of C [rows, n].
  Matrix<double> solve(Matrix<double> c) {
    const Index n = factor_.rows(), rows = c.rows();
    if (rows == 0 || n == 0) return c;
    // Z U = C from the left, X U^T = Z from the right.
    for (Index first = 0; first < n; first += kBlock) {
      const Index count = std::min(kBlock, n - first), next = first + count, rest = n - next;
      packed_.assign_transposed(factor_.block(first, first, count, count), workspace_.pool());
      solve_block(c, first, count);
      if (rest == 0) break;
      packed_.assign_transposed(factor_.block(first, next, count, rest), workspace_.pool());
      subtract_block(c, next);
    }
    for (Index first = (n - 1) / kBlock * kBlock; first >= 0; first -= kBlock) {
      const Index count = std::min(kBlock, n - first);
      packed_.assign(factor_.block(first, first, count, count), workspace_.pool());
      solve_block(c, first, count);
      if (first == 0) break;
      packed_.assign(factor_.block(0, first, first, count), workspace_.pool());
      subtract_block(c, 0);
    }
    return c;
  }

 private:
  static constexpr Index kBlock = 64;

  /// Puts U^-1 of a diagonal block, zero below its diagonal, in the place of -A. False if there is no U.
  bool invert_triangle(Index first, Index count) {
    auto block = factor_.block(first, first, count, count);
    Matrix<double> u = -block;
    for (Index i = 0; i < count; ++i) {
      const double pivot = u(i, i);
      if (!(pivot > 0.0 && std::isfinite(pivot))) return false;
      u.row(i).tail(count - i) /= std::sqrt(pivot);
      for (Index j = i + 1; j < count; ++j) u.row(j).tail(count - j) -= u(i, j) * u.row(i).tail(count - j);
    }
    block.setZero();
    for (Index i = count - 1; i >= 0; --i) {
      auto row = block.row(i).tail(count - i);
      for (Index j = i + 1; j < count; ++j) row.tail(count - j) -= u(i, j) * block.row(j).tail(count - j);
      row(0) = 1.0;
      row /= u(i, i);
    }
    return true;
  }

  /// Multiplies the block's columns of c by the triangle that is packed; negative_ becomes -1 times them.
  void solve_block(Matrix<double>& c, Index first, Index count) {
    block_ = -c.middleCols(first, count);
    negative_.resize(c.rows(), count);
    multiply(block_, {}, negative_.data(), count);
    c.middleCols(first, count) = -negative_;
  }

  /// Takes what the block's columns contribute, by what is packed, off the columns of c from `first`.
  void subtract_block(Matrix<double>& c, Index first) {
    double* const to = &c(0, first);
    multiply(negative_,
             {.kind = kernels::EpilogueKind::scaled_residual, .residual = to, .residual_stride = c.cols()},
             to, c.cols());
  }

  void multiply(const Matrix<double>& a, const kernels::Epilogue<double>& epilogue, double* to,
                Index stride) {
    kernels::gemm<double>(a.data(), a.cols(), a.rows(), packed_, epilogue, to, stride, workspace_);
  }

  Matrix<double> factor_;  ///< U beside the diagonal blocks, which hold their inverses
  kernels::Workspace<double>& workspace_;
  bool definite_ = true;
  kernels::PackedWeight<double> packed_;
  Matrix<double> block_, negative_;
};

}  // namespace vbp::inline VBP_ABI
