#pragma once

#include <filesystem>

#include "vbp/stats/stored_covariance.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION StoredCovariance::StoredCovariance(const Covariance<float>& covariance,
                                                const std::filesystem::path& folder)
    : count_(covariance.count()), sums_(covariance.features() + 2, covariance.features(), folder) {
  const Index features = covariance.features();
  sums_.middleRows(0, 1) = covariance.shift().cast<double>().transpose();
  sums_.middleRows(1, 1) = covariance.sum().transpose();
  sums_.middleRows(2, features) = covariance.products();
}

VBP_FUNCTION Vector<float> StoredCovariance::shift() const {
  return sums_.middleRows(0, 1).transpose().cast<float>();
}

VBP_FUNCTION Vector<double> StoredCovariance::sum() const { return sums_.middleRows(1, 1).transpose(); }

VBP_FUNCTION Covariance<float> StoredCovariance::load() const {
  return Covariance<float>::from_sums(count_, shift(), sum(), products());
}

}  // namespace vbp::inline VBP_ABI
