#pragma once
/// How long work tells its caller how far it is; the library itself never prints.

#include <cstdint>
#include <functional>

namespace vbp::inline VBP_ABI {

/// Called with (units done, units in all) from the thread that started the work. Returning false asks
/// the work to stop at the next point where what is done so far is consistent.
using Progress = std::function<bool(std::int64_t done, std::int64_t total)>;

}  // namespace vbp::inline VBP_ABI
