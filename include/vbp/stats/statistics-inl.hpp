#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <utility>

#include "vbp/core/message.hpp"
#include "vbp/kernels/moments.hpp"
#include "vbp/stats/statistics.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_statistics_features(Index features) {
  if (features > 0) return;
  throw_shape_error({"statistics need at least one feature, not ", features});
}

VBP_FUNCTION void require_statistics_match(Index other, Index features) {
  if (other == features) return;
  throw_shape_error({"cannot merge statistics of ", other, " features into ", features});
}

VBP_FUNCTION void require_samples_of_variance(std::int64_t count) {
  if (count >= 2) return;
  throw_value_error({"a variance needs two samples, there are ", count});
}

/// In place of a ThreadPool where there is none: a program without threads then compiles no pool.
struct CallingThread {
  template <class Body>
  void parallel_for(Index count, const Body& body) const {
    for (Index i = 0; i < count; ++i) body(i);
  }
};

/// Joins the moments of two sets of samples, b into a.
template <class T>
void join_moments(std::int64_t count_a, T& mean_a, T& m2_a, std::int64_t count_b, T mean_b, T m2_b) noexcept {
  const T n_a = static_cast<T>(count_a);
  const T n_b = static_cast<T>(count_b);
  const T delta = mean_b - mean_a;
  const T share = n_b / (n_a + n_b);
  mean_a += delta * share;
  m2_a += m2_b + delta * delta * n_a * share;
}

}  // namespace detail

template <std::floating_point T>
Statistics<T>::Statistics(Index features) {
  detail::require_statistics_features(features);
  mean_.setZero(features);
  m2_.setZero(features);
}

template <std::floating_point T>
Statistics<T> Statistics<T>::from_moments(std::int64_t count, Vector<T> mean, Vector<T> m2) {
  if (mean.size() != m2.size()) {
    throw_shape_error({"a mean of ", mean.size(), " features and a second moment of ", m2.size()});
  }
  Statistics result(mean.size());
  if (count < 0) throw_value_error({"a negative sample count: ", count});
  for (Index j = 0; j < mean.size(); ++j) {
    if (!std::isfinite(mean[j]) || !std::isfinite(m2[j]) || m2[j] < T(0)) {
      throw_value_error({"feature ", j, " has no valid moments"});
    }
  }
  if (count == 0 && !(mean.isZero(T(0)) && m2.isZero(T(0)))) {
    throw_value_error({"moments that are not zero, of no samples"});
  }
  result.count_ = count;
  result.mean_ = std::move(mean);
  result.m2_ = std::move(m2);
  return result;
}

template <std::floating_point T>
void Statistics<T>::merge(const Statistics& other) {
  detail::require_statistics_match(other.features(), features());
  if (other.count_ == 0) return;
  for (Index j = 0; j < features(); ++j) {
    detail::join_moments(count_, mean_[j], m2_[j], other.count_, other.mean_[j], other.m2_[j]);
  }
  count_ += other.count_;
}

template <std::floating_point T>
Vector<T> Statistics<T>::variance() const {
  detail::require_samples_of_variance(count_);
  const T n = static_cast<T>(count_ - 1);
  Vector<T> result(features());
  for (Index j = 0; j < features(); ++j) result.data()[j] = m2_.data()[j] / n;
  return result;
}

template <std::floating_point T>
void Statistics<T>::add(const MatrixView<float>& samples) {
  detail::CallingThread alone;
  add_rows<float>(samples, alone);
}

template <std::floating_point T>
void Statistics<T>::add(const MatrixView<double>& samples) {
  detail::CallingThread alone;
  add_rows<double>(samples, alone);
}

template <std::floating_point T>
void Statistics<T>::add(const MatrixView<float>& samples, ThreadPool& pool) {
  add_rows<float>(samples, pool);
}

template <std::floating_point T>
void Statistics<T>::add(const MatrixView<double>& samples, ThreadPool& pool) {
  add_rows<double>(samples, pool);
}

template <std::floating_point T>
template <class S, class Pool>
void Statistics<T>::add_rows(const MatrixView<S>& rows, Pool& pool) {
  detail::require_features(rows.cols(), features(), "statistics");
  if (rows.rows() == 0) return;
  Vector<T> mean = mean_;
  Vector<T> m2 = m2_;
  const Index pieces = (features() + kPieceColumns - 1) / kPieceColumns;
  const auto reduce_piece = [&](Index piece) {
    const Index begin = piece * kPieceColumns;
    const Index columns = std::min(kPieceColumns, features() - begin);
    reduce(rows, begin, columns, mean.data() + begin, m2.data() + begin);
  };
  pool.parallel_for(pieces, reduce_piece);
  for (Index j = 0; j < features(); ++j) {
    if (!std::isfinite(mean.data()[j]) || !std::isfinite(m2.data()[j])) {
      detail::refuse_feature(rows, j, "variance");
    }
  }
  mean_.swap(mean);
  m2_.swap(m2);
  count_ += rows.rows();
}

template <std::floating_point T>
template <class S>
void Statistics<T>::reduce(const MatrixView<S>& rows, Index begin, Index columns, T* mean,
                           T* m2) const noexcept {
  T shift[kPieceColumns];
  T sum[kPieceColumns];
  T square_sum[kPieceColumns];
  std::int64_t count = count_;
  for (Index row = 0; row < rows.rows(); row += kBlockRows) {
    const Index block_rows = std::min(kBlockRows, rows.rows() - row);
    const S* block = rows.data() + row * rows.outerStride() + begin;
    for (Index j = 0; j < columns; ++j) {
      shift[j] = count == 0 ? static_cast<T>(block[j]) : mean[j];
      sum[j] = T(0);
      square_sum[j] = T(0);
    }
    kernels::add_shifted_moments(block, block_rows, rows.outerStride(), columns, shift, sum, square_sum);
    const T n = static_cast<T>(block_rows);
    for (Index j = 0; j < columns; ++j) {
      const T offset = sum[j] / n;
      // Rounding must not make the sum of squares of a constant feature negative.
      const T block_m2 = std::max(T(0), square_sum[j] - sum[j] * offset);
      detail::join_moments(count, mean[j], m2[j], block_rows, shift[j] + offset, block_m2);
    }
    count += block_rows;
  }
}

}  // namespace vbp::inline VBP_ABI
