#pragma once

#include <string>
#include <string_view>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/prune/method.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

struct NamedMethod {
  std::string_view name;
  Method method;
};

inline constexpr NamedMethod kPublishedMethods[] = {
    {"vbp", {Criterion::variance, Compensation::mean_shift}},
    {"ob2c", {Criterion::variance, Compensation::refit}},
    {"dvbp+ob2c", {Criterion::dvbp, Compensation::refit}},
};

/// Throws the ValueError for a name that no entry of `list` has; `name_at` is an entry's name.
template <class List, class NameAt>
[[noreturn]] void refuse_method_name(const char* what, std::string_view name, const List& list,
                                     NameAt name_at) {
  std::string known;
  for (const auto& entry : list) known += (known.empty() ? "" : ", ") + std::string(name_at(entry));
  throw_value_error({"no ", what, " is named \"", name, "\"; there are ", known});
}

}  // namespace detail

VBP_FUNCTION std::string_view name_of(Criterion criterion) {
  switch (criterion) {
    case Criterion::variance:
      return "variance";
    case Criterion::output_variance:
      return "output-variance";
    case Criterion::dvbp:
      return "dvbp";
    case Criterion::greedy:
      return "greedy";
    case Criterion::clusters:
      return "clusters";
    case Criterion::magnitude:
      return "magnitude";
    case Criterion::snip:
      return "snip";
    case Criterion::random:
      return "random";
  }
  return "";
}

VBP_FUNCTION std::string_view name_of(Compensation compensation) {
  switch (compensation) {
    case Compensation::none:
      return "none";
    case Compensation::mean_shift:
      return "mean-shift";
    case Compensation::refit:
      return "refit";
    case Compensation::sequential:
      return "sequential";
    case Compensation::sequential_attention:
      return "sequential-attention";
    case Compensation::sequential_all:
      return "sequential-all";
  }
  return "";
}

VBP_FUNCTION Criterion parse_criterion(std::string_view name) {
  const auto name_at = [](Criterion criterion) { return name_of(criterion); };
  for (const Criterion criterion : kCriteria) {
    if (name == name_at(criterion)) return criterion;
  }
  detail::refuse_method_name("criterion", name, kCriteria, name_at);
}

VBP_FUNCTION Compensation parse_compensation(std::string_view name) {
  const auto name_at = [](Compensation compensation) { return name_of(compensation); };
  for (const Compensation compensation : kCompensations) {
    if (name == name_at(compensation)) return compensation;
  }
  detail::refuse_method_name("compensation", name, kCompensations, name_at);
}

VBP_FUNCTION std::string Method::name() const {
  for (const detail::NamedMethod& published : detail::kPublishedMethods) {
    if (published.method == *this) return std::string(published.name);
  }
  return std::string(name_of(criterion)) + " + " + std::string(name_of(compensation));
}

VBP_FUNCTION Method parse_method(std::string_view name) {
  for (const detail::NamedMethod& published : detail::kPublishedMethods) {
    if (published.name == name) return published.method;
  }
  detail::refuse_method_name("method", name, detail::kPublishedMethods,
                             [](const detail::NamedMethod& published) { return published.name; });
}

}  // namespace vbp::inline VBP_ABI
