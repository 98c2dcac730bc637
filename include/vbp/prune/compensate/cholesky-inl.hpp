#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "vbp/kernels/syrk.hpp"
#include "vbp/prune/compensate/cholesky.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION Cholesky::Cholesky(Matrix<double> a, kernels::Workspace<double>& workspace)
    : factor_(std::move(a)), workspace_(workspace) {
  const Index n = factor_.rows();
  // The kernel adds products, so that the rest of A is kept as its negative.
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

VBP_FUNCTION Matrix<double> Cholesky::solve(Matrix<double> c) {
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

VBP_FUNCTION bool Cholesky::invert_triangle(Index first, Index count) {
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

VBP_FUNCTION void Cholesky::solve_block(Matrix<double>& c, Index first, Index count) {
  block_ = -c.middleCols(first, count);
  negative_.resize(c.rows(), count);
  multiply(block_, {}, negative_.data(), count);
  c.middleCols(first, count) = -negative_;
}

VBP_FUNCTION void Cholesky::subtract_block(Matrix<double>& c, Index first) {
  double* const to = &c(0, first);
  multiply(negative_,
           {.kind = kernels::EpilogueKind::scaled_residual, .residual = to, .residual_stride = c.cols()},
           to, c.cols());
}

VBP_FUNCTION void Cholesky::multiply(const Matrix<double>& a, const kernels::Epilogue<double>& epilogue, double* to,
              Index stride) {
  kernels::gemm<double>(a.data(), a.cols(), a.rows(), packed_, epilogue, to, stride, workspace_);
}

}  // namespace vbp::inline VBP_ABI
