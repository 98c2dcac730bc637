#pragma once
/// Covariances put aside until they are needed again.

#include <cstdint>
#include <filesystem>

#include "vbp/core/stored_matrix.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// A covariance in a file without a name: what comes back has the same bits.
class StoredCovariance {
 public:
  /// Throws FileError, naming the folder, if there is no room.
  StoredCovariance(const Covariance<float>& covariance, const std::filesystem::path& folder)
      : count_(covariance.count()), sums_(covariance.features() + 2, covariance.features(), folder) {
    const Index features = covariance.features();
    sums_.middleRows(0, 1) = covariance.shift().cast<double>().transpose();
    sums_.middleRows(1, 1) = covariance.sum().transpose();
    sums_.middleRows(2, features) = covariance.products();
  }

  /// What it takes in its file.
  std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(sums_.size()) * static_cast<std::int64_t>(sizeof(double));
  }

  /// As of the covariance.
  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return sums_.cols(); }
  Vector<float> shift() const { return sums_.middleRows(0, 1).transpose().cast<float>(); }
  Vector<double> sum() const { return sums_.middleRows(1, 1).transpose(); }
  Eigen::Map<const Matrix<double>> products() const { return sums_.middleRows(2, features()); }

  Covariance<float> load() const { return Covariance<float>::from_sums(count_, shift(), sum(), products()); }

 private:
  std::int64_t count_;
  StoredMatrix<double> sums_;  ///< shift, sum, and the rows of the products
};

}  // namespace vbp::inline VBP_ABI
