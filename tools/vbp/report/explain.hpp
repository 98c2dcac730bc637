#pragma once
/// What vbp explain says of the blocks of a model, and the page that shows it.

#include <optional>
#include <string>
#include <vector>

#include "options/common.hpp"
#include "vbp/core/types.hpp"

namespace tool {

/// Squared errors of a block's output, as shares of the output's variance.
struct BlockErrors {
  double none = 0.0;
  double mean_shift = 0.0;
  double refit = 0.0;
};

/// One block under a plan. Lists are in falling order; spectrum and errors need a covariance.
struct ExplainedBlock {
  std::string name;
  std::vector<double> kept = {};      ///< variances of the neurons that stay
  std::vector<double> removed = {};   ///< variances of the neurons that go
  std::vector<double> spectrum = {};  ///< eigenvalues of the covariance
  std::optional<BlockErrors> errors = std::nullopt;

  vbp::Index width() const { return static_cast<vbp::Index>(kept.size() + removed.size()); }
  /// Share of the variance that stays, 0 to 1.
  double variance_kept() const;
  /// Its row of a table: name, widths before and after, variance kept and, if there are any, the errors.
  std::vector<std::string> cells() const;
};

struct Explanation {
  std::string model;
  std::string criterion;
  double rate = 0.0;
  vbp::Index images = 0;
  std::vector<ExplainedBlock> blocks = {};

  Json json() const;
  /// One page of HTML that contains all its pictures.
  std::string page() const;
};

}  // namespace tool
