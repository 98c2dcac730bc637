#pragma once
/// How long-running work reports its progress to the caller. The library itself never prints.

#include <cstdint>
#include <functional>

namespace vbp::inline VBP_ABI {

/// Called with (units done, total units) on the thread that started the work. If it returns false, the work
/// stops at the next point at which its results are consistent.
using Progress = std::function<bool(std::int64_t done, std::int64_t total)>;

}  // namespace vbp::inline VBP_ABI
