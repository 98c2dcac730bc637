#pragma once
/// What vbp sweep finds out: rows, how they compare, as JSON, as a table and as a picture.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/chart.hpp"
#include "method.hpp"

namespace tool {

/// One model of a sweep, on the same evaluation images as all others.
struct SweepRow {
  double rate = 0.0;
  Method method;
  std::string hits;  ///< as in Evaluation
  std::int64_t parameters = 0;
  std::int64_t macs = 0;
  double latency = 0.0;        ///< milliseconds for one image, the median
  double dense_latency = 0.0;  ///< and the dense model's, run in turn with it

  double top1() const;
};

/// What could not be: a whole rate where `method` names nothing.
struct SweepGap {
  double rate = 0.0;
  Method method;
  std::string reason;
};

/// The rows so far, the dense model's first.
struct Sweep {
  static const Method dense;
  /// What the others of its rate are compared with.
  static const Method reference;

  Json facts;     ///< what stands in the report before the rows
  Json settings;  ///< all that a row depends on beside its rate and method
  std::vector<SweepRow> rows;
  std::vector<SweepGap> gaps;
  Json left_out = {{"failures", Json::array()}, {"duplicates", Json::array()}};  ///< images

  const SweepRow* find(double rate, const Method& method) const;
  /// Whether there is nothing left to find out about it.
  bool knows(double rate, const Method& method) const;

  Json json() const;
  /// Takes over the rows of a report that was written by json() with the same settings. Throws FileError for
  /// anything else, naming the setting that differs.
  void resume(const std::filesystem::path& file);

  void print() const;
  /// Top-1 over latency: a panel a compensation, a line a criterion.
  chart::Figure figure() const;
};

/// Standard error of the mean of a - b, where both hold one 0 or 1 an image, of the same images.
double paired_standard_error(const std::string& a, const std::string& b);

}  // namespace tool
