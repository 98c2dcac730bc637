#pragma once

#include <utility>

#include "vbp/prune/budget/allowance.hpp"
#include "vbp/prune/pruner.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION VariancePruner::VariancePruner(PrunerOptions options) : options_(std::move(options)) {
  require_options(options_);
}

}  // namespace vbp::inline VBP_ABI
