#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "vbp/core/message.hpp"
#include "vbp/core/text.hpp"
#include "vbp/prune/budget/allowance.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION void require_options(const PrunerOptions& options) {
  if (options.rate.has_value() == options.kept.has_value()) {
    throw_value_error({"give either a rate or a kept count to prune to"});
  }
  if (options.rate && !(*options.rate >= 0.0 && *options.rate < 1.0)) {
    throw_value_error({"rate ", shortest_text(*options.rate), " is outside [0, 1)"});
  }
  if (options.kept && *options.kept < 1) {
    throw_value_error({"kept count ", *options.kept, " is not positive"});
  }
  if (options.min_width < 1) {
    throw_value_error({"minimum width ", options.min_width, " is less than 1"});
  }
  if (options.max_width && *options.max_width < options.min_width) {
    throw_value_error(
        {"maximum width ", *options.max_width, " is less than the minimum width ", options.min_width});
  }
  if (options.multiple < 1) {
    throw_value_error({"width multiple ", options.multiple, " is less than 1"});
  }
}

VBP_FUNCTION Index whole_share(double share, Index total) {
  // A decimal share is off by half an ulp in binary and its product by another half. 1e-12 covers thousands
  // of ulps, and no share that is meant to stay below a whole count is that close to it.
  const double count = static_cast<double>(total);
  return std::min(total, static_cast<Index>(std::floor(share * count + 1e-12 * count)));
}

VBP_FUNCTION std::string narrowest_constraints(const PrunerOptions& options) {
  return text_of(
      {"the minimum width ", options.min_width, options.exclude.empty() ? "" : " and the excluded blocks"});
}

VBP_FUNCTION Index requested_removals(const PrunerOptions& options, Index total) {
  require_options(options);
  if (options.kept) {
    if (*options.kept > total) {
      throw_value_error({"cannot keep ", *options.kept, " of ", total, " hidden neurons"});
    }
    return total - *options.kept;
  }
  return whole_share(*options.rate, total);
}

namespace detail {

/// Whether the name is among the first `count` names.
VBP_FUNCTION [[gnu::cold]] bool is_among(const std::string& name, const std::vector<std::string>& names,
                                         std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (names[i] == name) return true;
  }
  return false;
}

/// Throws the ValueError of a name that no block has.
VBP_FUNCTION [[noreturn, gnu::cold]] void refuse_block_name(const std::string& name,
                                                            const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& other : names) {
    if (!list.empty()) list += ", ";
    list += other;
  }
  throw_value_error({"no block is named ", name, "; there are ", list});
}

}  // namespace detail

VBP_FUNCTION std::vector<Allowance> allowances(const std::vector<std::string>& names,
                                               const std::vector<Index>& widths,
                                               const PrunerOptions& options) {
  require_options(options);
  if (names.size() != widths.size()) {
    throw_shape_error({names.size(), " names for ", widths.size(), " blocks"});
  }
  for (std::size_t b = 0; b < names.size(); ++b) {
    if (detail::is_among(names[b], names, b)) throw_value_error({"two blocks are named ", names[b]});
  }
  for (const std::string& name : options.exclude) {
    if (!detail::is_among(name, names, names.size())) detail::refuse_block_name(name, names);
  }
  std::vector<Allowance> result(names.size());
  for (std::size_t b = 0; b < names.size(); ++b) {
    Allowance& block = result[b];
    block.width = widths[b];
    if (detail::is_among(names[b], options.exclude, options.exclude.size())) continue;
    block.most = std::max<Index>(0, widths[b] - options.min_width);
    if (options.max_width) block.least = std::max<Index>(0, widths[b] - *options.max_width);
  }
  return result;
}

VBP_FUNCTION void require_reachable(Index removals, const std::vector<Allowance>& blocks,
                                    const PrunerOptions& options) {
  Index total = 0, least = 0, most = 0;
  for (const Allowance& block : blocks) {
    total += block.width;
    least += block.least;
    most += block.most;
  }
  if (removals > most) {
    throw_value_error({"cannot remove ", removals, " of ", total, " hidden neurons: under ",
                       narrowest_constraints(options), " at most ", most, " can go"});
  }
  if (removals < least) {
    throw_value_error({"cannot remove ", removals, " of ", total, " hidden neurons: under the maximum width ",
                       *options.max_width, " at least ", least, " must go"});
  }
}

}  // namespace vbp::inline VBP_ABI
