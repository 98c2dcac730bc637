#pragma once
/// What calibrate and merge report of calibration files.

#include "options/common.hpp"
#include "vbp/io/calibration_file.hpp"

namespace tool {

/// Name, width and tokens of each block.
inline Json blocks_of(const vbp::io::Calibration& calibration) {
  Json blocks = Json::array();
  for (std::size_t i = 0; i < calibration.names.size(); ++i) {
    blocks.push_back({{"name", calibration.names[i]},
                      {"width", calibration.statistics[i].features()},
                      {"tokens", calibration.statistics[i].count()}});
  }
  return blocks;
}

}  // namespace tool
