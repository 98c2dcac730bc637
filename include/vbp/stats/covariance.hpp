#pragma once
/// Streaming mean and full covariance of the features: what closed-form compensation is computed from.

#include <concepts>
#include <cstdint>

#include "vbp/core/dependent.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/samples.hpp"

namespace vbp::inline VBP_ABI {

/// Count, mean and centred second moment M2 = sum (x - mean)(x - mean)^T of all pairs of features, in one
/// pass.
///
/// Samples are shifted by a fixed provisional mean c (that of the first 256 samples), products summed in T
/// over at most 256 samples, and those sums in float64: M2 = Q - s s^T / n with Q and s the shifted sums.
/// Covariance<float> is the fast path with a relative error of about 1e-6 by norm, Covariance<double> the
/// exact one. Keeps features^2 * 8 bytes; observing a batch takes another rows * features * sizeof(T)
/// meanwhile. The result does not depend on the number of threads.
template <std::floating_point T = float>
class Covariance {
 public:
  using Scalar = T;

  /// Empty. The last `targets` of the features are the targets of a regression: products of two different
  /// targets are not formed, and m2() and covariance() hold zeros there. Throws ShapeError if the number of
  /// features is not positive or less than that of targets.
  explicit Covariance(Index features, Index targets = 0);

  /// From sums that were kept elsewhere (a calibration file): of deviations from `shift`, and of their
  /// products, of which the upper triangle is read. The result has the same bits as the original. Throws
  /// ShapeError where sizes differ, ValueError for a negative count, sums of no samples, a variance that is
  /// negative beyond rounding, or anything not finite.
  static Covariance from_sums(std::int64_t count, Vector<T> shift, Vector<double> sum,
                              Matrix<double> products);

  /// Bytes that a covariance of so many features keeps.
  static constexpr Index bytes(Index features) noexcept {
    return features * features * static_cast<Index>(sizeof(double)) +
           features * static_cast<Index>(sizeof(double) + sizeof(T));
  }

  /// Adds samples, the rows of any Eigen expression [n, features] of float or double. Throws ShapeError if
  /// the width is wrong and ValueError, naming the feature, if a value is NaN or infinite or too far from the
  /// others for its square to fit T; nothing is added then.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples) {
    ThreadPool caller(1);
    observe(samples, caller);
  }

  /// The same on the threads of `pool`: bit for bit the same result.
  template <class Derived>
  void observe(const Eigen::DenseBase<Derived>& samples, ThreadPool& pool) {
    add(detail::samples_view(samples), pool);
  }

  /// The same for a regression's features [n, features - targets] and targets [n, targets] in two matrices.
  template <class Features, class Targets>
  void observe(const Eigen::DenseBase<Features>& samples, const Eigen::DenseBase<Targets>& targets,
               ThreadPool& pool) {
    add(detail::samples_view(samples), detail::samples_view(targets), pool);
  }

  /// Adds what another instance has seen (Chan, Golub, LeVeque 1983, with delta delta^T for delta^2); throws
  /// ShapeError if it has another number of features or targets.
  void merge(const Covariance& other);

  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return sum_.size(); }
  Index targets() const noexcept { return targets_; }

  /// The provisional mean, fixed when the first samples were seen.
  const Vector<T>& shift() const noexcept { return shift_; }
  /// sum (x - shift).
  const Vector<double>& sum() const noexcept { return sum_; }
  /// sum (x - shift)(x - shift)^T in the upper triangle, except of two different targets. Other elements have
  /// no meaning.
  const Matrix<double>& products() const noexcept { return products_; }

  /// Zero where nothing was seen.
  Vector<double> mean() const;

  /// Centred second moment, sum (x - mean)(x - mean)^T, both triangles.
  Matrix<double> m2() const;

  /// Sample covariance M2 / (n - 1), [features, features]; throws ValueError for fewer than two samples.
  Matrix<double> covariance() const;

  /// The diagonal of covariance().
  Vector<double> variance() const;

 private:
  using Sum = detail::DoubleFor<T>;

  static constexpr Index kShiftRows = 256;

  Covariance() = default;

  /// Throws ValueError as from_sums does.
  void require_valid_sums() const;

  /// The provisional mean of what is seen first.
  template <class S>
  static Vector<T> shift_of(const MatrixView<S>& rows);

  /// See observe: samples and targets apart, or as the columns of one matrix.
  void add(const MatrixView<float>& samples, ThreadPool& pool);
  void add(const MatrixView<double>& samples, ThreadPool& pool);
  void add(const MatrixView<float>& samples, const MatrixView<float>& targets, ThreadPool& pool);
  void add(const MatrixView<double>& samples, const MatrixView<double>& targets, ThreadPool& pool);
  template <class S>
  void add_rows(const MatrixView<S>& samples, const MatrixView<S>& targets, ThreadPool& pool);

  std::int64_t count_ = 0;
  Index targets_ = 0;
  Vector<T> shift_;
  Vector<Sum> sum_;
  Matrix<Sum> products_;  ///< shifted by shift_; never read below the diagonal
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/stats/covariance-inl.hpp"
#endif
