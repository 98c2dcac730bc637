#pragma once
/// Streaming mean and variance of every feature: step 1 of Variance-Based Pruning.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/moments.hpp"
#include "vbp/stats/samples.hpp"

namespace vbp::inline VBP_ABI {

/// Count, mean and centred second moment M2 = sum (x - mean)^2 of each feature, in one pass.
///
/// Blocks of rows are reduced around a provisional mean and joined by the formula of Chan, Golub and
/// LeVeque (1983): delta = mean_b - mean_a, M2 = M2_a + M2_b + delta^2 n_a n_b / (n_a + n_b). The provisional
/// mean is the mean so far, so what cancels inside a block is never more than what the join then adds.
/// T accumulates; samples may be float or double. The result depends on the order of the samples only
/// by rounding, and not at all on the number of threads.
template <std::floating_point T = double>
class Statistics {
 public:
  using Scalar = T;

  /// Empty statistics of `features` features; throws ShapeError if that is not positive.
  explicit Statistics(Index features) {
    if (features <= 0)
      throw ShapeError("statistics need at least one feature, not " + std::to_string(features));
    mean_ = Vector<T>::Zero(features);
    m2_ = Vector<T>::Zero(features);
  }

  /// Statistics from accumulators that were kept elsewhere (a calibration file).
  /// Throws ShapeError if the lengths differ and ValueError if count or M2 is negative or anything not
  /// finite.
  static Statistics from_moments(std::int64_t count, Vector<T> mean, Vector<T> m2) {
    if (mean.size() != m2.size()) {
      throw ShapeError("a mean of " + std::to_string(mean.size()) + " features and a second moment of " +
                       std::to_string(m2.size()));
    }
    Statistics result(mean.size());
    if (count < 0) throw ValueError("a negative sample count: " + std::to_string(count));
    for (Index j = 0; j < mean.size(); ++j) {
      if (!std::isfinite(mean[j]) || !std::isfinite(m2[j]) || m2[j] < T(0)) {
        throw ValueError("feature " + std::to_string(j) + " has no valid moments");
      }
    }
    if (count == 0 && !(mean.isZero(T(0)) && m2.isZero(T(0)))) {
      throw ValueError("moments that are not zero, of no samples");
    }
    result.count_ = count;
    result.mean_ = std::move(mean);
    result.m2_ = std::move(m2);
    return result;
  }

  /// Adds samples, the rows of any Eigen expression [n, features] of float or double.
  /// Throws ShapeError if the width is wrong and ValueError, naming the feature, if a value is NaN or
  /// infinite (or its square overflows T); nothing is added then.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples) {
    observe_columns(samples, [](Index count, auto&& body) {
      for (Index i = 0; i < count; ++i) body(i);
    });
  }

  /// The same, with the features divided among the threads of `pool`: bit for bit the same result.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples, ThreadPool& pool) {
    observe_columns(samples, [&pool](Index count, auto&& body) { pool.parallel_for(count, body); });
  }

  /// Adds what another instance has seen; throws ShapeError if it has another number of features.
  void merge(const Statistics& other) {
    if (other.features() != features()) {
      throw ShapeError("cannot merge statistics of " + std::to_string(other.features()) + " features into " +
                       std::to_string(features()));
    }
    if (other.count_ == 0) return;
    for (Index j = 0; j < features(); ++j) {
      join(count_, mean_[j], m2_[j], other.count_, other.mean_[j], other.m2_[j]);
    }
    count_ += other.count_;
  }

  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return mean_.size(); }
  const Vector<T>& mean() const noexcept { return mean_; }

  /// Centred second moment, sum (x - mean)^2.
  const Vector<T>& m2() const noexcept { return m2_; }

  /// Sample variance M2 / (n - 1); throws ValueError if fewer than two samples were seen.
  Vector<T> variance() const {
    if (count_ < 2) throw ValueError("a variance needs two samples, there are " + std::to_string(count_));
    return m2_ / static_cast<T>(count_ - 1);
  }

 private:
  // Short enough that a block's sums keep their low bits and a strided block stays in the second-level
  // cache, long enough that joining costs little beside summing.
  static constexpr Index kBlockRows = 256;
  // One piece of work of a thread: a multiple of the cache line for both scalar types.
  static constexpr Index kPieceColumns = 128;

  static void join(std::int64_t count_a, T& mean_a, T& m2_a, std::int64_t count_b, T mean_b,
                   T m2_b) noexcept {
    const T n_a = static_cast<T>(count_a);
    const T n_b = static_cast<T>(count_b);
    const T delta = mean_b - mean_a;
    const T share = n_b / (n_a + n_b);
    mean_a += delta * share;
    m2_a += m2_b + delta * delta * n_a * share;
  }

  template <class Derived, class Loop>
  void observe_columns(const Eigen::DenseBase<Derived>& samples, Loop&& loop) {
    using S = typename Derived::Scalar;
    static_assert(std::same_as<S, float> || std::same_as<S, double>, "samples must be float or double");
    detail::require_features(samples.cols(), features(), "statistics");
    if (samples.rows() == 0) return;
    // An expression is evaluated here, a row-major matrix or a block of one is read in place.
    const MatrixView<S> rows(samples.derived());
    Vector<T> mean = mean_;
    Vector<T> m2 = m2_;
    const Index pieces = (features() + kPieceColumns - 1) / kPieceColumns;
    loop(pieces, [&](Index piece) {
      const Index begin = piece * kPieceColumns;
      const Index columns = std::min(kPieceColumns, features() - begin);
      reduce(rows, begin, columns, mean.data() + begin, m2.data() + begin);
    });
    for (Index j = 0; j < features(); ++j) {
      if (!std::isfinite(mean[j]) || !std::isfinite(m2[j])) detail::refuse_feature(rows, j, "variance");
    }
    mean_.swap(mean);
    m2_.swap(m2);
    count_ += rows.rows();
  }

  template <class S>
  void reduce(const MatrixView<S>& rows, Index begin, Index columns, T* mean, T* m2) const noexcept {
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
        join(count, mean[j], m2[j], block_rows, shift[j] + offset, block_m2);
      }
      count += block_rows;
    }
  }

  std::int64_t count_ = 0;
  Vector<T> mean_;
  Vector<T> m2_;
};

}  // namespace vbp::inline VBP_ABI
