#pragma once
/// The version of the library, as `vbp --version` prints it.

#include "vbp/core/config.hpp"

namespace vbp::inline VBP_ABI {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace vbp::inline VBP_ABI
