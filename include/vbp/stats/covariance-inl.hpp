#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <utility>

#include "vbp/core/message.hpp"
#include "vbp/kernels/syrk.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION void require_covariance_features(Index features) {
  if (features > 0) return;
  throw_shape_error({"a covariance needs at least one feature, not ", features});
}

VBP_FUNCTION void require_samples_of_covariance(std::int64_t count) {
  if (count >= 2) return;
  throw_value_error({"a covariance needs two samples, there are ", count});
}

VBP_FUNCTION [[noreturn]] void refuse_target_rows(Index samples, Index targets) {
  throw_shape_error({"features of ", samples, " samples and targets of ", targets});
}

}  // namespace detail

template <std::floating_point T>
Covariance<T>::Covariance(Index features, Index targets) : targets_(targets) {
  detail::require_covariance_features(features);
  if (targets < 0 || targets > features) {
    throw_shape_error({targets, " of ", features, " features cannot be targets"});
  }
  shift_ = Vector<T>::Zero(features);
  sum_ = Vector<Sum>::Zero(features);
  products_ = Matrix<Sum>::Zero(features, features);
}

template <std::floating_point T>
Covariance<T> Covariance<T>::from_sums(std::int64_t count, Vector<T> shift, Vector<double> sum,
                                       Matrix<double> products) {
  const Index features = shift.size();
  if (sum.size() != features || products.rows() != features || products.cols() != features) {
    throw_shape_error({"a shift of ", features, " features, sums of ", sum.size(), " and products of [",
                       products.rows(), ", ", products.cols(), "]"});
  }
  detail::require_covariance_features(features);
  if (count < 0) throw_value_error({"a negative sample count: ", count});
  Covariance result;
  result.count_ = count;
  result.shift_ = std::move(shift);
  result.sum_ = std::move(sum);
  result.products_ = std::move(products);
  result.require_valid_sums();
  return result;
}

template <std::floating_point T>
void Covariance<T>::require_valid_sums() const {
  for (Index i = 0; i < features(); ++i) {
    const bool finite = std::isfinite(shift_(i)) && std::isfinite(sum_(i)) &&
                        products_.row(i).tail(features() - i).allFinite();
    const double square = count_ > 0 ? sum_(i) * (sum_(i) / static_cast<double>(count_)) : 0.0;
    if (!finite || products_(i, i) < square * (1.0 - 1e-4)) {
      throw_value_error({"feature ", i, " has no valid moments"});
    }
  }
  if (count_ == 0 && !(sum_.isZero(0.0) && products_.isZero(0.0))) {
    throw_value_error({"sums that are not zero, of no samples"});
  }
}

template <std::floating_point T>
void Covariance<T>::merge(const Covariance& other) {
  if (other.features() != features() || other.targets_ != targets_) {
    const auto size = [](const Covariance& of) {
      return std::to_string(of.features()) + " features" +
             (of.targets_ > 0 ? ", " + std::to_string(of.targets_) + " of them targets" : "");
    };
    throw_shape_error({"cannot merge a covariance of ", size(other), " into one of ", size(*this)});
  }
  if (other.count_ == 0) return;
  if (count_ == 0) {
    *this = other;
    return;
  }
  // With d the distance of the shifts, sum (x - c)(x - c)^T = Q' + s' d^T + d s'^T + n' d d^T; as
  // (s' + n' d)(s' + n' d)^T / n' - s' s'^T / n' the update stays symmetric and of rank two.
  const auto n = static_cast<double>(other.count_);
  const Vector<Sum> moved =
      other.sum_ + n * (other.shift_.template cast<Sum>() - shift_.template cast<Sum>());
  for (Index i = 0; i < features(); ++i) {
    const Index rest = features() - i;
    products_.row(i).tail(rest) += other.products_.row(i).tail(rest) +
                                   moved(i) / n * moved.tail(rest).transpose() -
                                   other.sum_(i) / n * other.sum_.tail(rest).transpose();
  }
  sum_ += moved;
  count_ += other.count_;
}

template <std::floating_point T>
Vector<double> Covariance<T>::mean() const {
  if (count_ == 0) return Vector<Sum>::Zero(features());
  return shift_.template cast<Sum>() + sum_ / static_cast<double>(count_);
}

template <std::floating_point T>
Matrix<double> Covariance<T>::m2() const {
  const Index n = features();
  Matrix<Sum> result(n, n);
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

template <std::floating_point T>
Matrix<double> Covariance<T>::covariance() const {
  detail::require_samples_of_covariance(count_);
  Matrix<Sum> result = m2();
  result /= static_cast<double>(count_ - 1);
  return result;
}

template <std::floating_point T>
Vector<double> Covariance<T>::variance() const {
  detail::require_samples_of_covariance(count_);
  const auto n = static_cast<double>(count_);
  return (products_.diagonal() - sum_.cwiseAbs2() / n).cwiseMax(0.0) / (n - 1.0);
}

template <std::floating_point T>
template <class S>
Vector<T> Covariance<T>::shift_of(const MatrixView<S>& rows) {
  return rows.topRows(std::min<Index>(kShiftRows, rows.rows()))
      .template cast<double>()
      .colwise()
      .mean()
      .transpose()
      .template cast<T>();
}

template <std::floating_point T>
void Covariance<T>::add(const MatrixView<float>& samples, ThreadPool& pool) {
  detail::require_features(samples.cols(), features(), "a covariance");
  add_rows<float>(samples.leftCols(features() - targets_), samples.rightCols(targets_), pool);
}

template <std::floating_point T>
void Covariance<T>::add(const MatrixView<double>& samples, ThreadPool& pool) {
  detail::require_features(samples.cols(), features(), "a covariance");
  add_rows<double>(samples.leftCols(features() - targets_), samples.rightCols(targets_), pool);
}

template <std::floating_point T>
void Covariance<T>::add(const MatrixView<float>& samples, const MatrixView<float>& targets,
                        ThreadPool& pool) {
  add_rows<float>(samples, targets, pool);
}

template <std::floating_point T>
void Covariance<T>::add(const MatrixView<double>& samples, const MatrixView<double>& targets,
                        ThreadPool& pool) {
  add_rows<double>(samples, targets, pool);
}

template <std::floating_point T>
template <class S>
void Covariance<T>::add_rows(const MatrixView<S>& samples, const MatrixView<S>& targets, ThreadPool& pool) {
  detail::require_features(samples.cols(), features() - targets_, "a covariance");
  detail::require_features(targets.cols(), targets_, "a covariance, its targets,");
  if (samples.rows() != targets.rows()) detail::refuse_target_rows(samples.rows(), targets.rows());
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

}  // namespace vbp::inline VBP_ABI
