#pragma once
/// Streaming mean and full covariance of the features: what closed-form compensation is computed from.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <utility>

#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"
#include "vbp/kernels/syrk.hpp"
#include "vbp/stats/samples.hpp"

namespace vbp::inline VBP_ABI {

/// Count, mean and centred second moment M2 = sum (x - mean)(x - mean)^T of all pairs of features, in one
/// pass.
///
/// Samples are shifted by a fixed provisional mean c (that of the first 256 samples), products summed in T
/// over at most 256 samples, and those sums in float64: M2 = Q - s s^T / n with Q and s the shifted sums.
/// Covariance<float> is the fast path, relative error about 1e-6 by norm; Covariance<double> the plain one.
/// features^2 * 8 bytes stay; observing a batch takes another rows * features * sizeof(T) for its time. The
/// result does not depend on the number of threads.
template <std::floating_point T = float>
class Covariance {
 public:
  using Scalar = T;

  /// Empty. The last `targets` of the features are those of a regression: of two different ones no product is
  /// formed, and m2() and covariance() have a zero there. Throws ShapeError if the number of features is not
  /// positive or less than that of targets.
  explicit Covariance(Index features, Index targets = 0) : targets_(targets) {
    require_some(features);
    if (targets < 0 || targets > features) {
      throw ShapeError(std::to_string(targets) + " of " + std::to_string(features) +
                       " features cannot be targets");
    }
    shift_ = Vector<T>::Zero(features);
    sum_ = Vector<double>::Zero(features);
    products_ = Matrix<double>::Zero(features, features);
  }

  /// From sums kept elsewhere (a calibration file): of deviations from `shift`, and of their products, of
  /// which the upper triangle is read. What comes back has the same bits and goes on as if never interrupted.
  /// Throws ShapeError where sizes differ, ValueError for a negative count, sums of no samples, a variance
  /// that is negative beyond rounding, or anything not finite.
  static Covariance from_sums(std::int64_t count, Vector<T> shift, Vector<double> sum,
                              Matrix<double> products) {
    const Index features = shift.size();
    if (sum.size() != features || products.rows() != features || products.cols() != features) {
      throw ShapeError("a shift of " + std::to_string(features) + " features, sums of " +
                       std::to_string(sum.size()) + " and products of [" + std::to_string(products.rows()) +
                       ", " + std::to_string(products.cols()) + "]");
    }
    require_some(features);
    if (count < 0) throw ValueError("a negative sample count: " + std::to_string(count));
    for (Index i = 0; i < features; ++i) {
      const bool finite =
          std::isfinite(shift(i)) && std::isfinite(sum(i)) && products.row(i).tail(features - i).allFinite();
      const double square = count > 0 ? sum(i) * (sum(i) / static_cast<double>(count)) : 0.0;
      if (!finite || products(i, i) < square * (1.0 - 1e-4)) {
        throw ValueError("feature " + std::to_string(i) + " has no valid moments");
      }
    }
    if (count == 0 && !(sum.isZero(0.0) && products.isZero(0.0))) {
      throw ValueError("sums that are not zero, of no samples");
    }
    Covariance result;
    result.count_ = count;
    result.shift_ = std::move(shift);
    result.sum_ = std::move(sum);
    result.products_ = std::move(products);
    return result;
  }

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
    detail::require_features(samples.cols(), features(), "a covariance");
    add(view(samples.leftCols(features() - targets_)), view(samples.rightCols(targets_)), pool);
  }

  /// The same of a regression's features and targets that lie apart, [n, features - targets] and [n,
  /// targets].
  template <class Features, class Targets>
  void observe(const Eigen::DenseBase<Features>& samples, const Eigen::DenseBase<Targets>& targets,
               ThreadPool& pool) {
    detail::require_features(samples.cols(), features() - targets_, "a covariance");
    detail::require_features(targets.cols(), targets_, "a covariance, its targets,");
    if (samples.rows() != targets.rows()) {
      throw ShapeError("features of " + std::to_string(samples.rows()) + " samples and targets of " +
                       std::to_string(targets.rows()));
    }
    add(view(samples), view(targets), pool);
  }

  /// Adds what another instance has seen (Chan, Golub, LeVeque 1983, with delta delta^T for delta^2); throws
  /// ShapeError if it has another number of features or targets.
  void merge(const Covariance& other) {
    if (other.features() != features() || other.targets_ != targets_) {
      const auto size = [](const Covariance& of) {
        return std::to_string(of.features()) + " features" +
               (of.targets_ > 0 ? ", " + std::to_string(of.targets_) + " of them targets" : "");
      };
      throw ShapeError("cannot merge a covariance of " + size(other) + " into one of " + size(*this));
    }
    if (other.count_ == 0) return;
    if (count_ == 0) {
      *this = other;
      return;
    }
    // With d the distance of the shifts, sum (x - c)(x - c)^T = Q' + s' d^T + d s'^T + n' d d^T; as
    // (s' + n' d)(s' + n' d)^T / n' - s' s'^T / n' the update stays symmetric and of rank two.
    const auto n = static_cast<double>(other.count_);
    const Vector<double> moved =
        other.sum_ + n * (other.shift_.template cast<double>() - shift_.template cast<double>());
    for (Index i = 0; i < features(); ++i) {
      const Index rest = features() - i;
      products_.row(i).tail(rest) += other.products_.row(i).tail(rest) +
                                     moved(i) / n * moved.tail(rest).transpose() -
                                     other.sum_(i) / n * other.sum_.tail(rest).transpose();
    }
    sum_ += moved;
    count_ += other.count_;
  }

  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return sum_.size(); }
  Index targets() const noexcept { return targets_; }

  /// The provisional mean, fixed when the first samples were seen.
  const Vector<T>& shift() const noexcept { return shift_; }
  /// sum (x - shift).
  const Vector<double>& sum() const noexcept { return sum_; }
  /// sum (x - shift)(x - shift)^T; only the upper triangle means anything, and of two targets not even that.
  const Matrix<double>& products() const noexcept { return products_; }

  /// Zero where nothing was seen.
  Vector<double> mean() const {
    if (count_ == 0) return Vector<double>::Zero(features());
    return shift_.template cast<double>() + sum_ / static_cast<double>(count_);
  }

  /// Centred second moment, sum (x - mean)(x - mean)^T, both triangles.
  Matrix<double> m2() const {
    const Index n = features();
    Matrix<double> result(n, n);
    if (count_ == 0) return result.setZero();
    for (Index i = 0; i < n; ++i) {
      result.row(i).tail(n - i) =
          products_.row(i).tail(n - i) - sum_(i) / static_cast<double>(count_) * sum_.tail(n - i).transpose();
      // Rounding must not make the moment of a constant feature negative.
      result(i, i) = std::max(0.0, result(i, i));
      if (i >= n - targets_) result.row(i).tail(n - i - 1).setZero();
    }
    // Mirrored in squares: a column is spread over as many pages as it has rows.
    constexpr Index kSquare = 32;
    for (Index i = 0; i < n; i += kSquare) {
      const Index rows = std::min(kSquare, n - i);
      auto square = result.block(i, i, rows, rows);
      square.template triangularView<Eigen::StrictlyLower>() = square.transpose();
      for (Index j = i + rows; j < n; j += kSquare) {
        const Index columns = std::min(kSquare, n - j);
        result.block(j, i, columns, rows) = result.block(i, j, rows, columns).transpose();
      }
    }
    return result;
  }

  /// Sample covariance M2 / (n - 1), [features, features]; throws ValueError for fewer than two samples.
  Matrix<double> covariance() const {
    require_two();
    Matrix<double> result = m2();
    result /= static_cast<double>(count_ - 1);
    return result;
  }

  /// The diagonal of covariance().
  Vector<double> variance() const {
    require_two();
    const auto n = static_cast<double>(count_);
    return (products_.diagonal() - sum_.cwiseAbs2() / n).cwiseMax(0.0) / (n - 1.0);
  }

 private:
  static constexpr Index kShiftRows = 256;

  Covariance() = default;

  template <class Derived>
  static auto view(const Eigen::DenseBase<Derived>& samples) {
    using S = typename Derived::Scalar;
    static_assert(std::same_as<S, float> || std::same_as<S, double>, "samples must be float or double");
    return MatrixView<S>(samples.derived());
  }

  /// The provisional mean of what is seen first.
  template <class S>
  static Vector<T> shift_of(const MatrixView<S>& rows) {
    return rows.topRows(std::min<Index>(kShiftRows, rows.rows()))
        .template cast<double>()
        .colwise()
        .mean()
        .transpose()
        .template cast<T>();
  }

  /// Adds samples of the right widths, as observe() says.
  template <class S>
  void add(const MatrixView<S>& samples, const MatrixView<S>& targets, ThreadPool& pool) {
    if (samples.rows() == 0) return;
    Vector<T> shift = shift_;
    const Index own = samples.cols();
    if (count_ == 0) {
      shift.head(own) = shift_of(samples);
      shift.tail(targets_) = shift_of(targets);
    }
    const auto pack = [&](const MatrixView<S>& rows, Index first) {
      kernels::PackedDeviations<T> packed(rows.data(), rows.rows(), rows.outerStride(), rows.cols(),
                                          shift.data() + first, pool);
      for (Index j = 0; j < rows.cols(); ++j) {
        if (!packed.products_fit(j)) detail::refuse_feature(rows, j, "second moment", first);
      }
      return packed;
    };
    const auto deviations = pack(samples, 0), of_targets = pack(targets, own);
    deviations.add_products(products_.data(), features(), pool);
    deviations.add_products(of_targets, products_.data() + own, features(), pool);
    products_.diagonal().tail(targets_) += of_targets.squares(pool);
    sum_.head(own) += deviations.sum();
    sum_.tail(targets_) += of_targets.sum();
    shift_ = shift;
    count_ += samples.rows();
  }

  static void require_some(Index features) {
    if (features <= 0)
      throw ShapeError("a covariance needs at least one feature, not " + std::to_string(features));
  }

  void require_two() const {
    if (count_ < 2) throw ValueError("a covariance needs two samples, there are " + std::to_string(count_));
  }

  std::int64_t count_ = 0;
  Index targets_ = 0;
  Vector<T> shift_;
  Vector<double> sum_;
  Matrix<double> products_;  ///< shifted by shift_; what lies below the diagonal is never read
};

}  // namespace vbp::inline VBP_ABI
