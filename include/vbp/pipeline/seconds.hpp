#pragma once
/// Time that work takes.

#include <algorithm>
#include <chrono>

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI::detail {

/// Seconds since `begin`, never 0: rates divide by them.
inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

}  // namespace vbp::inline VBP_ABI::detail
