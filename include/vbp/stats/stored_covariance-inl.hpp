#pragma once

#include <filesystem>

#include "vbp/core/dependent.hpp"
#include "vbp/stats/stored_covariance.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A template, so that it is compiled only where it is used.
template <class T>
void store_sums(const Covariance<T>& covariance, StoredMatrix<DoubleFor<T>>& sums) {
  sums.middleRows(0, 1) = covariance.shift().template cast<double>().transpose();
  sums.middleRows(1, 1) = covariance.sum().transpose();
  sums.middleRows(2, covariance.features()) = covariance.products();
}

template <class T>
Vector<T> stored_row(const StoredMatrix<DoubleFor<T>>& sums, Index row) {
  return sums.middleRows(row, 1).transpose().template cast<T>();
}

}  // namespace detail

VBP_FUNCTION StoredCovariance::StoredCovariance(const Covariance<float>& covariance,
                                                const std::filesystem::path& folder)
    : count_(covariance.count()), sums_(covariance.features() + 2, covariance.features(), folder) {
  detail::store_sums<float>(covariance, sums_);
}

VBP_FUNCTION Vector<float> StoredCovariance::shift() const {
  return detail::stored_row<float>(sums_, 0);
}

VBP_FUNCTION Vector<double> StoredCovariance::sum() const {
  return detail::stored_row<double>(sums_, 1);
}

VBP_FUNCTION Covariance<float> StoredCovariance::load() const {
  return Covariance<float>::from_sums(count_, shift(), sum(), products());
}

}  // namespace vbp::inline VBP_ABI
