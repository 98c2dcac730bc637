#pragma once
/// Matrices surrounded by guard values, for testing kernels that take pointers and strides.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "vbp/core/aligned.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"

namespace vbp_test {

using vbp::Index;

/// A matrix rows x columns whose row stride is columns + gap and whose first row is `offset` elements behind
/// a 64-byte boundary. NaNs fill the memory before, between and behind the rows. Their bit pattern is
/// different for each matrix and survives a kernel. So a kernel that computes with a guard returns NaN, and
/// intact() detects a kernel that overwrites a guard.
template <class T>
class GuardedMatrix {
 public:
  GuardedMatrix(Index rows, Index columns, Index gap = 0, Index offset = 0)
      : rows_(rows),
        columns_(columns),
        stride_(columns + gap),
        begin_(kMargin + offset),
        buffer_(begin_ + rows * stride_ + kMargin) {
    std::fill_n(buffer_.data(), buffer_.size(), std::bit_cast<T>(guard_));
  }

  Index rows() const noexcept { return rows_; }
  Index columns() const noexcept { return columns_; }
  Index stride() const noexcept { return stride_; }
  T* data() noexcept { return buffer_.data() + begin_; }
  const T* data() const noexcept { return buffer_.data() + begin_; }
  T& operator()(Index i, Index j) noexcept { return data()[i * stride_ + j]; }
  T operator()(Index i, Index j) const noexcept { return data()[i * stride_ + j]; }

  /// Fills the matrix with standard normal values from `random`.
  void fill(vbp::Random& random) {
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < columns_; ++j) (*this)(i, j) = static_cast<T>(random.normal());
    }
  }

  void assign(const vbp::Matrix<T>& values) {
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < columns_; ++j) (*this)(i, j) = values(i, j);
    }
  }

  template <class To = T>
  vbp::Matrix<To> values() const {
    vbp::Matrix<To> result(rows_, columns_);
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < columns_; ++j) result(i, j) = static_cast<To>((*this)(i, j));
    }
    return result;
  }

  /// Whether every value outside the matrix is still the guard.
  bool intact() const {
    for (Index i = 0; i < buffer_.size(); ++i) {
      const Index place = i - begin_;
      const bool inside = place >= 0 && place < rows_ * stride_ && place % stride_ < columns_;
      if (!inside && std::bit_cast<Bits>(buffer_.data()[i]) != guard_) return false;
    }
    return true;
  }

 private:
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr Bits kQuietNan =
      sizeof(T) == 4 ? Bits{0x7fc00000} : static_cast<Bits>(0x7ff8000000000000U);
  static inline Bits made_ = 0;
  // A whole number of cache lines, and more than any vector holds.
  static constexpr Index kMargin = 64;

  Index rows_, columns_, stride_, begin_;
  Bits guard_ = kQuietNan | (++made_ & 0xffff);
  vbp::AlignedBuffer<T> buffer_;
};

/// The scalar type in which tests compute the expected value of a kernel on T.
template <class T>
using Oracle = std::conditional_t<std::is_same_v<T, float>, double, long double>;

/// The unit roundoff of T: the relative error of one operation.
template <class T>
inline constexpr Oracle<T> kUnit = Oracle<T>(std::numeric_limits<T>::epsilon()) / 2;

/// The largest error divided by its bound, over all values: at most 1 if all errors are within their bounds,
/// infinite if there is a NaN.
template <class T>
class WorstError {
 public:
  void add(T actual, Oracle<T> expected, Oracle<T> bound) {
    const Oracle<T> error = std::abs(Oracle<T>(actual) - expected);
    const auto part = error == Oracle<T>(0) ? 0.0 : static_cast<double>(error / bound);
    worst_ = std::isnan(part) ? std::numeric_limits<double>::infinity() : std::max(worst_, part);
  }
  double value() const noexcept { return worst_; }

 private:
  double worst_ = 0.0;
};

}  // namespace vbp_test
