#pragma once
/// Covariances that are stored in files until they are needed again.

#include <cstdint>
#include <filesystem>

#include "vbp/core/stored_matrix.hpp"
#include "vbp/core/types.hpp"
#include "vbp/stats/covariance.hpp"

namespace vbp::inline VBP_ABI {

/// A covariance in an unlinked temporary file. load() returns it with the same bits.
class StoredCovariance {
 public:
  /// Throws FileError, naming the folder, if there is no room.
  VBP_FUNCTION StoredCovariance(const Covariance<float>& covariance, const std::filesystem::path& folder);

  /// Bytes of its file.
  std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(sums_.size()) * static_cast<std::int64_t>(sizeof(double));
  }

  /// As those of the covariance.
  std::int64_t count() const noexcept { return count_; }
  Index features() const noexcept { return sums_.cols(); }
  VBP_FUNCTION Vector<float> shift() const;
  VBP_FUNCTION Vector<double> sum() const;
  Eigen::Map<const Matrix<double>> products() const { return sums_.middleRows(2, features()); }

  VBP_FUNCTION Covariance<float> load() const;

 private:
  std::int64_t count_;
  StoredMatrix<double> sums_;  ///< shift, sum, and the rows of the products
};

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/stats/stored_covariance-inl.hpp"
#endif
