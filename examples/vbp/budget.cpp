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
      add("--parameters", parameters, "share of the dense model's parameters to keep at most, 0 to 1", "F")};
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) budgets[i]->excludes(budgets[j]);
  }
  app.add_option("--scope", scope, "neurons compete over the whole network or inside each block")
      ->check(CLI::IsMember({"global", "block"}))
      ->capture_default_str();
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
  if (!pruner.rate && !pruner.kept) {
    throw UsageError("one of --rate, --keep, --macs and --parameters is required");
  }
  vbp::require_options(pruner);
}

Budget::Budget(const BudgetOptions& options, const Model& model)
    : names_(facts_of(model).blocks), widths_(facts_of(model).hidden_widths), options_(options.pruner) {
  options_.scope = options.scope == "block" ? vbp::Scope::block : vbp::Scope::global;
  if (options.macs) resource_ = resource_of(model, "MACs", &vbp::Cost::macs);
  if (options.parameters) resource_ = resource_of(model, "parameters", &vbp::Cost::parameters);
  if (resource_) share_ = options.macs ? *options.macs : *options.parameters;
}

vbp::PruningPlan Budget::plan(const std::vector<vbp::Ranking>& rankings) const {
  if (rankings.empty()) {
    vbp::Scores zeros;
    for (const Index width : widths_) zeros.push_back(vbp::Vector<double>::Zero(width));
    return plan(vbp::rankings_of(zeros));
  }
  if (resource_) return vbp::plan_within(names_, rankings, *resource_, share_, options_);
  return vbp::plan_from_rankings(names_, rankings, options_);
}

Json Budget::report(const vbp::PruningPlan& plan) const {
  if (!resource_) return {};
  return {{"of", resource_->name},
          {"share", share_},
          {"reached", static_cast<double>(resource_->left(plan)) / static_cast<double>(resource_->total)}};
}

}  // namespace tool
