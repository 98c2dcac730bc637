#pragma once
/// Streaming mean and variance of every feature: step 1 of Variance-Based Pruning.

#include <concepts>
#include <cstdint>

#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/samples.hpp"

namespace vbp::inline VBP_ABI {

/// Count, mean and centred second moment M2 = sum (x - mean)^2 of each feature, in one pass.
///
/// Blocks of rows are reduced around a provisional mean and joined by the formula of Chan, Golub and
/// LeVeque (1983): delta = mean_b - mean_a, M2 = M2_a + M2_b + delta^2 n_a n_b / (n_a + n_b). The provisional
/// mean is the mean so far, so that a block never cancels more than the join then adds. T accumulates;
/// samples may be float or double. The order of the samples changes the result only by rounding, the number
/// of threads not at all.
template <std::floating_point T = double>
class Statistics {
 public:
  using Scalar = T;

  /// Empty statistics of `features` features; throws ShapeError if that is not positive.
  explicit Statistics(Index features);

  /// Statistics from accumulators that were kept elsewhere (a calibration file).
  /// Throws ShapeError if the lengths differ and ValueError if count or M2 is negative or anything not
  /// finite.
  static Statistics from_moments(std::int64_t count, Vector<T> mean, Vector<T> m2);

  /// Adds samples, the rows of any Eigen expression [n, features] of float or double.
  /// Throws ShapeError if the width is wrong and ValueError, naming the feature, if a value is NaN or
  /// infinite (or its square overflows T); nothing is added then.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples) {
    add(detail::samples_view(samples));
  }

  /// The same, with the features divided among the threads of `pool`: bit for bit the same result.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples, ThreadPool& pool) {
    add(detail::samples_view(samples), pool);
  }

  /// Adds what another instance has seen; throws ShapeError if it has another number of features.
  void merge(const Statistics& other);

  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return mean_.size(); }
  const Vector<T>& mean() const noexcept { return mean_; }

  /// Centred second moment, sum (x - mean)^2.
  const Vector<T>& m2() const noexcept { return m2_; }

  /// Sample variance M2 / (n - 1); throws ValueError if fewer than two samples were seen.
  Vector<T> variance() const;

 private:
  // Short enough that a block's sums keep their low bits and a strided block stays in the second-level
  // cache, long enough that joining costs little beside summing.
  static constexpr Index kBlockRows = 256;
  // What a thread works on at a time: a multiple of the cache line for both scalar types.
  static constexpr Index kPieceColumns = 128;

  /// See observe; without a pool on the calling thread alone.
  void add(const MatrixView<float>& samples);
  void add(const MatrixView<double>& samples);
  void add(const MatrixView<float>& samples, ThreadPool& pool);
  void add(const MatrixView<double>& samples, ThreadPool& pool);
  template <class S, class Pool>
  void add_rows(const MatrixView<S>& rows, Pool& pool);
  /// Adds `columns` columns of samples from `begin` on to their mean and m2.
  template <class S>
  void reduce(const MatrixView<S>& rows, Index begin, Index columns, T* mean, T* m2) const noexcept;

  std::int64_t count_ = 0;
  Vector<T> mean_;
  Vector<T> m2_;
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/stats/statistics-inl.hpp"
#endif
