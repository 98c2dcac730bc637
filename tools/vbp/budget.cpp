#include <charconv>
#include <cmath>
#include <utility>

#include "method.hpp"
#include "vbp/core/text.hpp"

namespace tool {

using vbp::Index;

void BudgetOptions::add_to(CLI::App& app) {
  const auto add = [&](const char* name, auto& value, const char* text, const char* type) {
    return app.add_option(name, value, text)->check(not_empty)->type_name(type);
  };
  std::vector<CLI::Option*> budgets{
      add("--rate", pruner.rate, "share of all hidden neurons to remove, 0 to 1", "R"),
      app.add_option("--keep", pruner.kept, "hidden neurons that stay, in all")
          ->check(whole_number(1))
          ->type_name("N"),
      add("--macs", macs, "share of the dense model's MACs to keep at most, 0 to 1", "F"),
      add("--parameters", parameters, "share of the dense model's parameters to keep at most, 0 to 1", "F"),
      add("--latency", latency.limit,
          "latency to come down to: a share of the dense model's, 0 to 1, or milliseconds, as 12.5ms",
          "F|Xms")};
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) budgets[i]->excludes(budgets[j]);
  }
  CLI::Option* const limit = budgets.back();
  app.add_option("--latency-batch", latency.batch, "images that latencies are measured on, at most 65536")
      ->check(whole_number(1, 65536))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--latency-table", latency.table,
                 "the table of latencies: read, or else measured and written; default: one in the cache")
      ->check(not_empty)
      ->type_name("FILE")
      ->needs(limit);
  app.add_flag("--latency-fresh", latency.fresh, "measure latencies again whatever is remembered")
      ->needs(limit);
  app.add_option("--scope", scope, "neurons compete over the whole network or inside each block")
      ->check(CLI::IsMember({"global", "block"}))
      ->capture_default_str()
      ->excludes(limit);
  app.add_option("--min-width", pruner.min_width, "no block becomes narrower")
      ->check(whole_number(1))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--max-width", pruner.max_width, "no block stays wider")
      ->check(whole_number(1))
      ->type_name("N");
  app.add_option("--multiple-of", pruner.multiple, "widths of cut blocks are multiples of this")
      ->check(whole_number(1))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--exclude", pruner.exclude,
                 "a block that keeps everything, for example blocks.0; may be repeated")
      ->allow_extra_args(false)
      ->check(not_empty)
      ->type_name("NAME");
}

namespace {

/// --latency: a share, or milliseconds.
struct LatencyLimit {
  double value = 0.0;
  bool milliseconds = false;
};

LatencyLimit parse_latency(std::string text) {
  const std::string whole = text;
  LatencyLimit limit;
  limit.milliseconds = text.ends_with("ms");
  if (limit.milliseconds) text.resize(text.size() - 2);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit.value);
  const bool number = error == std::errc() && end == text.data() + text.size() && limit.value > 0.0;
  if (!number || !std::isfinite(limit.value) || (!limit.milliseconds && limit.value > 1.0)) {
    throw vbp::ValueError("--latency " + whole +
                          " is neither a share in (0, 1], as 0.7, nor milliseconds, as 12.5ms");
  }
  return limit;
}

}  // namespace

void Budget::require(const BudgetOptions& options) {
  vbp::PrunerOptions pruner = options.pruner;
  for (const auto& [name, share] :
       {std::pair("--macs", options.macs), std::pair("--parameters", options.parameters)}) {
    if (!share) continue;
    if (!(*share > 0.0 && *share <= 1.0)) {
      throw vbp::ValueError(std::string(name) + " " + vbp::shortest_text(*share) + " is outside (0, 1]");
    }
    pruner.rate = 0.0;
  }
  if (!options.latency.limit.empty()) {
    parse_latency(options.latency.limit);
    pruner.rate = 0.0;
  }
  if (!pruner.rate && !pruner.kept) {
    throw UsageError("one of --rate, --keep, --macs, --parameters and --latency is required");
  }
  vbp::require_options(pruner);
}

Budget::Budget(const BudgetOptions& options, const Model& model, LatencyModel* latency)
    : names_(facts_of(model).blocks),
      widths_(facts_of(model).hidden_widths),
      options_(options.pruner),
      latency_(latency) {
  options_.scope = options.scope == "block" ? vbp::Scope::block : vbp::Scope::global;
  if (options.macs) resource_ = resource_of(model, "MACs", &vbp::Cost::macs);
  if (options.parameters) resource_ = resource_of(model, "parameters", &vbp::Cost::parameters);
  if (resource_) share_ = options.macs ? *options.macs : *options.parameters;
  if (latency_ != nullptr) {
    const LatencyLimit limit = parse_latency(options.latency.limit);
    // In what the user asked in, for the messages.
    unit_ = limit.milliseconds ? latency_->dense_ms() : 1.0;
    unit_name_ = limit.milliseconds ? " ms" : " of the dense latency";
    share_ = limit.value / unit_;
  }
}

vbp::PruningPlan Budget::even_plan() const {
  vbp::Scores ones;
  for (const Index width : widths_) ones.push_back(vbp::Vector<double>::Ones(width));
  const std::vector<vbp::Ranking> rankings = vbp::rankings_of(ones);
  if (latency_ == nullptr) return plan(rankings).plan;
  return vbp::plan_within_time(names_, rankings, block_time(), unit_ * share_, options_, unit_name_);
}

Budgeted Budget::plan(const std::vector<vbp::Ranking>& rankings) const {
  const auto reached = [&](const std::string& of, double share) {
    return Json{{"of", of}, {"share", share_}, {"reached", share}};
  };
  if (latency_ != nullptr) {
    const auto measure = [&](const vbp::PruningPlan& plan) { return unit_ * latency_->measured_share(plan); };
    vbp::TimedPlan timed = vbp::plan_within_measured_time(names_, rankings, block_time(), measure,
                                                          unit_ * share_, options_, unit_name_);
    return {std::move(timed.plan), reached("latency", timed.time / unit_)};
  }
  if (resource_) {
    vbp::PruningPlan plan = vbp::plan_within(names_, rankings, *resource_, share_, options_);
    const double left = static_cast<double>(resource_->left(plan)) / static_cast<double>(resource_->total);
    return {std::move(plan), reached(resource_->name, left)};
  }
  return {vbp::plan_from_rankings(names_, rankings, options_)};
}

}  // namespace tool
