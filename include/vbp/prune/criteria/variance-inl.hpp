#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/prune/criteria/variance.hpp"

namespace vbp::inline VBP_ABI::detail {

VBP_FUNCTION void require_two_samples(const std::vector<std::string>& names, std::size_t b,
                                      std::int64_t samples) {
  if (samples >= 2 || b >= names.size()) return;
  throw_value_error({names[b], ": a variance needs two samples, there are ", samples});
}

}  // namespace vbp::inline VBP_ABI::detail
