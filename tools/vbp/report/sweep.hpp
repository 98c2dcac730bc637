#pragma once
/// What vbp sweep finds out: rows, how they compare, as JSON, as a table and as a picture.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/chart.hpp"
#include "options/common.hpp"
#include "vbp/prune/method.hpp"

namespace tool {

/// One model of a sweep, on the same evaluation images as all others.
struct SweepRow {
  double rate = 0.0;
  std::optional<vbp::Method> method;  ///< none for the dense model
  std::string hits;                   ///< as in vbp::Evaluation
  std::int64_t parameters = 0;
  std::int64_t macs = 0;
  double latency = 0.0;        ///< milliseconds for one image, the median
  double dense_latency = 0.0;  ///< and the dense model's, run in turn with it

  double top1() const;
};

/// A combination that is not possible, and why; a whole rate where there is no method.
struct SweepGap {
  double rate = 0.0;
  std::optional<vbp::Method> method;
  std::string reason;
};

/// The rows so far, the dense model's first.
struct Sweep {
  /// What the other methods are compared with at the same rate.
  static constexpr vbp::Method reference{vbp::Criterion::variance, vbp::Compensation::refit};

  Json facts;     ///< what stands in the report before the rows
  Json settings;  ///< all that a row depends on beside its rate and method
  std::vector<SweepRow> rows;
  std::vector<SweepGap> gaps;
  Json left_out = {{"failures", Json::array()}, {"duplicates", Json::array()}};  ///< images

  /// The row of a method, or without one of the dense model; null if there is none yet.
  const SweepRow* find(double rate, const std::optional<vbp::Method>& method) const;
  /// Whether there is a row of the method, or a gap.
  bool knows(double rate, const std::optional<vbp::Method>& method) const;

  Json json() const;
  /// Takes over the rows of a report that was written by json() with the same settings. Throws FileError for
  /// anything else, naming the setting that differs.
  void resume(const std::filesystem::path& file);

  void print() const;
  /// Top-1 over latency: a panel a compensation, a line a criterion.
  chart::Figure figure() const;
};

/// Standard error of the mean of a - b, where both hold a 0 or 1 for each of the same images.
double paired_standard_error(const std::string& a, const std::string& b);

}  // namespace tool
