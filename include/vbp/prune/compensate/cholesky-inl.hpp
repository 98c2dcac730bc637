#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "vbp/kernels/syrk.hpp"
#include "vbp/prune/compensate/cholesky.hpp"

namespace vbp::inline VBP_ABI {

template <std::floating_point T>
Cholesky<T>::Cholesky(Matrix<T> a, kernels::Workspace<T>& workspace)
    : factor_(std::move(a)), workspace_(workspace) {
  const Index n = factor_.rows();
  // The kernel adds products, so that the rest of A is kept as its negative.
  workspace_.pool().parallel_for(n, [&](Index i) { factor_.row(i) *= -1.0; });
  const Vector<T> zero = Vector<T>::Zero(n);
  for (Index first = 0; first < n; first += kBlock) {
    const Index count = std::min(kBlock, n - first), next = first + count, rest = n - next;
    definite_ = invert_triangle(first, count);
    if (!definite_ || rest == 0) break;
    const Matrix<T> inverse = -factor_.block(first, first, count, count).transpose();
    const auto panel = factor_.block(first, next, count, rest);
    packed_.assign_transposed(panel, workspace_.pool());
    multiply(inverse, {}, &factor_(first, next), n);
    const kernels::PackedDeviations<T> columns(&factor_(first, next), count, n, rest, zero.data(),
                                               workspace_.pool());
    columns.add_products(&factor_(next, next), n, workspace_.pool());
  }
}

template <std::floating_point T>
Matrix<T> Cholesky<T>::solve(Matrix<T> c) {
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

template <std::floating_point T>
bool Cholesky<T>::invert_triangle(Index first, Index count) {
  auto block = factor_.block(first, first, count, count);
  Matrix<T> u = -block;
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

template <std::floating_point T>
void Cholesky<T>::solve_block(Matrix<T>& c, Index first, Index count) {
  block_ = -c.middleCols(first, count);
  negative_.resize(c.rows(), count);
  multiply(block_, {}, negative_.data(), count);
  c.middleCols(first, count) = -negative_;
}

template <std::floating_point T>
void Cholesky<T>::subtract_block(Matrix<T>& c, Index first) {
  T* const to = &c(0, first);
  multiply(negative_,
           {.kind = kernels::EpilogueKind::scaled_residual, .residual = to, .residual_stride = c.cols()}, to,
           c.cols());
}

template <std::floating_point T>
void Cholesky<T>::multiply(const Matrix<T>& a, const kernels::Epilogue<T>& epilogue, T* to, Index stride) {
  kernels::gemm<T>(a.data(), a.cols(), a.rows(), packed_, epilogue, to, stride, workspace_);
}

}  // namespace vbp::inline VBP_ABI
