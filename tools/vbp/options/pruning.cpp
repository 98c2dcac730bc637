#include "options/pruning.hpp"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "vbp/core/text.hpp"

namespace tool {

using vbp::Index;

std::vector<std::string> criterion_names() {
  std::vector<std::string> names;
  for (const vbp::Criterion criterion : vbp::kCriteria) names.emplace_back(vbp::name_of(criterion));
  return names;
}

std::vector<std::string> compensation_names() {
  std::vector<std::string> names;
  for (const vbp::Compensation compensation : vbp::kCompensations) {
    names.emplace_back(vbp::name_of(compensation));
  }
  return names;
}

// ---- the method ----

void MethodOptions::add_to(CLI::App& app) {
  const auto by_name = app.add_option(
      "--method", method,
      "vbp: the paper's; ob2c: the same neurons, and the kept weights refitted; dvbp+ob2c: the "
      "successor as published; default: the best that the inputs allow");
  by_name->check(CLI::IsMember({"vbp", "ob2c", "dvbp+ob2c"}));
  app.add_option("--criterion", criterion, "how neurons are chosen")
      ->check(CLI::IsMember(criterion_names()))
      ->excludes(by_name);
  app.add_option("--compensation", compensation, "how the kept neurons make up for the removed ones")
      ->check(CLI::IsMember(compensation_names()))
      ->excludes(by_name);
}

void MethodOptions::apply_to(vbp::PruneOptions& options) const {
  if (!method.empty()) {
    const vbp::Method named = vbp::parse_method(method);
    options.criterion = named.criterion;
    options.compensation = named.compensation;
  }
  if (!criterion.empty()) options.criterion = vbp::parse_criterion(criterion);
  if (!compensation.empty()) options.compensation = vbp::parse_compensation(compensation);
}

vbp::Method method_of(const vbp::PruneOptions& options, const vbp::PruneInputs& inputs) {
  using Input = vbp::MissingInputError::Input;
  try {
    return vbp::resolve_method(options, inputs);
  } catch (const vbp::MissingInputError& error) {
    const std::string reason = error.what();
    switch (error.input()) {
      case Input::labels:
        throw vbp::ValueError(reason +
                              ": give --calibrate DIR, one sub-folder a class, instead of --statistics");
      case Input::images:
        throw vbp::ValueError(reason + ": give --calibrate DIR instead of --statistics");
      case Input::covariances:
        break;
    }
    throw vbp::ValueError(reason + ": give --calibrate DIR, or statistics made with --covariance");
  }
}

// ---- the calibration ----

void CalibrationOptions::add_to(CLI::App& app) {
  const auto folder = app.add_option(
      "--calibrate", calibrate,
      "folder of calibration images; only the criterion snip needs labels, one sub-folder a class");
  folder->check(not_empty)->type_name("DIR");
  app.add_option("--statistics", statistics, "a calibration file of vbp calibrate or merge")
      ->check(not_empty)
      ->type_name("FILE")
      ->excludes(folder);
  app.add_option("--limit", limit,
                 "calibrate on N images, spread evenly over the sub-folders, the first of each")
      ->check(whole_number(1))
      ->type_name("N")
      ->needs(folder);
}

void CalibrationOptions::require() const {
  if (calibrate.empty() && statistics.empty()) {
    throw UsageError("one of --calibrate and --statistics is required");
  }
}

// ---- the budget ----

void BudgetOptions::add_to(CLI::App& app) {
  const auto add = [&](const char* name, auto& value, const char* text, const char* type) {
    return app.add_option(name, value, text)->check(not_empty)->type_name(type);
  };
  std::vector<CLI::Option*> budgets{
      add("--rate", prune.rate, "share of all hidden neurons to remove, 0 to 1", "R"),
      app.add_option("--keep", prune.kept, "hidden neurons that stay in all")
          ->check(whole_number(1))
          ->type_name("N"),
      add("--macs", prune.macs, "share of the dense model's MACs to keep at most, 0 to 1", "F"),
      add("--parameters", prune.parameters, "share of the dense model's parameters to keep at most, 0 to 1",
          "F"),
      add("--latency", latency,
          "highest latency: a share of the dense model's, 0 to 1, or milliseconds, as 12.5ms", "F|Xms")};
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) budgets[i]->excludes(budgets[j]);
  }
  add_latency_to(app, budgets.back());
  add_constraints_to(app, budgets.back());
}

void BudgetOptions::add_latency_to(CLI::App& app, CLI::Option* limit) {
  app.add_option("--latency-batch", prune.latency_table.batch,
                 "images that latencies are measured on, at most 65536")
      ->check(whole_number(1, 65536))
      ->type_name("N")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--latency-table", [this](const std::string& file) { prune.latency_table.file = file; },
         "the table of latencies: read if it exists, else measured and written; default: one in the cache")
      ->check(not_empty)
      ->type_name("FILE")
      ->needs(limit);
  app.add_flag("--latency-fresh", prune.latency_table.remeasure, "measure latencies again in any case")
      ->needs(limit);
}

void BudgetOptions::add_constraints_to(CLI::App& app, CLI::Option* limit) {
  app.add_option("--scope", scope, "neurons compete over the whole network or inside each block")
      ->check(CLI::IsMember({"global", "block"}))
      ->capture_default_str()
      ->excludes(limit);
  app.add_option("--min-width", prune.min_width, "no block becomes narrower")
      ->check(whole_number(1))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--max-width", prune.max_width, "no block stays wider")
      ->check(whole_number(1))
      ->type_name("N");
  app.add_option("--multiple-of", prune.multiple, "widths of cut blocks are multiples of this")
      ->check(whole_number(1))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--exclude", prune.exclude,
                 "a block that keeps everything, for example blocks.0; may be repeated")
      ->allow_extra_args(false)
      ->check(not_empty)
      ->type_name("NAME");
}

namespace {

/// --latency: a share, or milliseconds.
vbp::LatencyLimit parse_latency(std::string text) {
  const std::string whole = text;
  vbp::LatencyLimit limit;
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

vbp::PruneOptions BudgetOptions::checked() const {
  vbp::PruneOptions options = prune;
  options.scope = scope == "block" ? vbp::Scope::block : vbp::Scope::global;
  for (const auto& [name, share] :
       {std::pair("--macs", options.macs), std::pair("--parameters", options.parameters)}) {
    if (!share || (*share > 0.0 && *share <= 1.0)) continue;
    throw vbp::ValueError(std::string(name) + " " + vbp::shortest_text(*share) + " is outside (0, 1]");
  }
  if (!latency.empty()) options.latency = parse_latency(latency);
  if (!options.rate && !options.kept && !options.macs && !options.parameters && !options.latency) {
    throw UsageError("one of --rate, --keep, --macs, --parameters and --latency is required");
  }
  vbp::require_prune_options(options);
  return options;
}

}  // namespace tool
