#pragma once
/// Cholesky decomposition in blocks, on the library's own kernels.

#include <concepts>

#include "vbp/core/types.hpp"
#include "vbp/kernels/gemm.hpp"
#include "vbp/kernels/workspace.hpp"

namespace vbp::inline VBP_ABI {

/// A = U^T U of a symmetric positive definite A [n, n], U upper triangular, and the solution X of X A = C.
///
/// Right-looking (Golub and Van Loan, Matrix Computations, 4.2.9): computes a block of rows of U, then
/// subtracts the products of its columns from the rest of A. Triangles on the diagonal are inverted, so that
/// all other work is matrix products. The same bits for any number of threads. T is double; a template, so
/// that it is compiled only where it is used.
template <std::floating_point T>
class Cholesky {
 public:
  /// Reads the upper triangle of `a`. The workspace has to outlive this.
  Cholesky(Matrix<T> a, kernels::Workspace<T>& workspace);

  /// False where A is not positive definite, or not finite; nothing can be solved then.
  bool definite() const noexcept { return definite_; }

  /// X [rows, n] with X A = C, of C [rows, n].
  Matrix<T> solve(Matrix<T> c);

 private:
  static constexpr Index kBlock = 64;

  /// Replaces -A in a diagonal block by U^-1, zero below its diagonal. Returns false if there is no U.
  bool invert_triangle(Index first, Index count);
  /// Multiplies the block's columns of c by the packed triangle and leaves -1 times them in negative_.
  void solve_block(Matrix<T>& c, Index first, Index count);
  /// Subtracts negative_'s product with what is packed, negated, from the columns of c from `first` on.
  void subtract_block(Matrix<T>& c, Index first);
  void multiply(const Matrix<T>& a, const kernels::Epilogue<T>& epilogue, T* to, Index stride);

  Matrix<T> factor_;  ///< U beside the diagonal blocks, which hold their inverses
  kernels::Workspace<T>& workspace_;
  bool definite_ = true;
  kernels::PackedWeight<T> packed_;
  Matrix<T> block_, negative_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/prune/compensate/cholesky-inl.hpp"
#endif
