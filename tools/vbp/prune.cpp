#include <algorithm>
#include <iostream>
#include <memory>
#include <unordered_set>
#include <utility>

#include "method.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;

struct PruneOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  CalibrationOptions source;
  Room room;
  std::string evaluate;
  std::string out;
  MethodOptions method;
  BudgetOptions budget;
  std::optional<Index> evaluate_limit;
};

Json side(const vbp::Cost& cost, std::uintmax_t file_bytes, const Latency& latency,
          const std::optional<Evaluation>& evaluation) {
  Json report;
  report["parameters"] = cost.parameters();
  report["macs"] = cost.macs();
  report["macs_fvcore"] = cost.macs_fvcore();
  report["file_bytes"] = file_bytes;
  report["latency_ms"] = latency.json();
  if (evaluation) evaluation->add_to(report);
  return report;
}

/// The files that are written, each another one. Throws as require_writable does.
std::vector<fs::path> require_outputs(const PruneOptions& options) {
  const fs::path out = options.out, json = options.json.file, table = options.budget.latency.table;
  require_writable(out, json);
  for (const fs::path& other : {out, json}) {
    if (!table.empty() && !other.empty() && same_file(table, other)) {
      throw vbp::FileError(table.string(), "is the file of --latency-table and would be overwritten");
    }
  }
  return {out, json, table};
}

void run(const PruneOptions& options) {
  options.source.require();
  Budget::require(options.budget);
  const std::vector<fs::path> outputs = require_outputs(options);
  require_not_read(outputs, files_of(options.model));
  require_not_read(outputs, {options.source.statistics});

  const Checkpoint dense = load(options.model);
  dense.require_complete();
  std::vector<vbp::io::ImageEntry> evaluation;
  if (!options.evaluate.empty())
    evaluation = evaluation_images(dense, options.evaluate, options.evaluate_limit);
  require_not_read(outputs, paths_of(evaluation));

  // Whatever the files can tell is checked before the long work, the budget too.
  CalibrationRun calibration;
  Method method;
  std::vector<vbp::io::ImageEntry> images;
  if (options.source.statistics.empty()) {
    method = options.method.resolve(true, true);
    images = calibration_images(options.source.calibrate, options.source.limit, evaluation,
                                method.needs_labels() ? &dense : nullptr);
    require_not_read(outputs, paths_of(images));
  } else {
    calibration = load_calibration(dense, options.source.statistics,
                                   {.start = true, .room = {options.room.bytes, folder_of(options.out)}});
    std::unordered_set<std::string> seen;
    for (const vbp::io::Hash128& hash : calibration.calibration.images) seen.insert(hash.to_string());
    require_disjoint(evaluation, contents_of(evaluation), seen);
    method = options.method.resolve(false, calibration.has_covariances());
  }
  std::optional<LatencyModel> times;
  if (!options.budget.latency.limit.empty()) times.emplace(dense.model, options.run, options.budget.latency);
  const Budget budget(options.budget, dense.model, times ? &*times : nullptr);
  if (options.source.statistics.empty()) {
    budget.even_plan();
    const Gather gather{.covariances = method.needs_covariance(),
                        .start = method.needs_covariance(),
                        .gradient = method.needs_labels(),
                        .room = {options.room.bytes, folder_of(options.out)}};
    calibration = calibrate(dense, std::move(images), options.run, gather);
    if (!calibration.complete) throw Interrupted("interrupted; nothing was written");
  }

  Compressor compressor(dense, calibration, options.run);
  const auto& [plan, reached] = compressor.plan(method.criterion, budget);
  const Compensated compensated = compressor.apply(plan, method.compensation);
  const Checkpoint& pruned = compensated.checkpoint;

  const auto [dense_latency, pruned_latency, latency_ratio] =
      times ? measure(dense.model, pruned.model, options.run, options.budget.latency.batch, kThorough)
            : measure(dense.model, pruned.model, options.run, options.budget.latency.batch);
  std::optional<Evaluation> before, after;
  if (!evaluation.empty()) {
    before = evaluate(dense, evaluation, options.run, "evaluating dense");
    after = evaluate(pruned, evaluation, options.run, "evaluating pruned");
  }
  vbp::io::AtomicFile out(options.out);
  save_checkpoint(out, pruned);

  const vbp::Cost dense_cost = cost_of(dense.model);
  const vbp::Cost pruned_cost = cost_of(pruned.model);
  const auto dense_bytes = fs::file_size(options.model.file);
  const auto pruned_bytes = out.size();
  Json report;
  report["model"] = options.model.file;
  report["out"] = options.out;
  report["method"] = method.name();
  report["criterion"] = method.criterion;
  report["compensation"] = method.compensation;
  report["scope"] = options.budget.scope;
  report["calibration_images"] = calibration.calibration.images.size();
  report["neurons"] = plan.total();
  report["requested"] = plan.requested;
  report["removed"] = plan.removed();
  if (!reached.empty()) report["budget"] = reached;
  if (options.room.bytes) report["memory"] = calibration.memory();
  // Of the dense time measured beside the pruned one: a machine may have changed its speed since the table.
  const double measured = latency_ratio * dense_latency.median;
  std::optional<double> predicted;
  if (times) {
    predicted = reached["reached"].get<double>() * dense_latency.median;
    report["latency_ms"] = {{"predicted", *predicted}, {"measured", measured}};
  }
  report["threads"] = thread_count(options.run);
  report["dense"] = side(dense_cost, dense_bytes, dense_latency, before);
  report["pruned"] = side(pruned_cost, pruned_bytes, pruned_latency, after);
  // What is kept of the sum that the criterion ranks by: the variance, where that is the criterion.
  const std::string kept_of = method.criterion == "variance" ? "variance" : "score";
  report["blocks"] = Json::array();
  for (const vbp::PruningPlan::Block& block : plan.blocks) {
    report["blocks"].push_back({{"name", block.name},
                                {"width_before", block.width},
                                {"width_after", block.kept_width()},
                                {kept_of + "_kept", block.score_kept}});
  }
  report["compensated"] = compensated.steps;
  Skipped skipped = calibration.skipped;
  if (before)
    skipped.failures.insert(skipped.failures.end(), before->failures.begin(), before->failures.end());
  report_failures(skipped.failures, report);
  report_duplicates(skipped.duplicates, report);
  commit(out, options.json, report);

  std::cout << "method " << method.name() << ", calibrated on " << calibration.calibration.images.size()
            << " images: " << grouped(plan.removed()) << " of " << grouped(plan.total())
            << " neurons removed";
  if (plan.removed() != plan.requested) {
    std::cout << " (" << grouped(plan.requested) << " asked for; a width multiple of "
              << budget.options().multiple << " allows no more)";
  }
  if (!reached.empty()) {
    std::cout << "; " << fixed(100.0 * reached["reached"].get<double>(), 2) << " % of the "
              << reached["of"].get<std::string>() << " left, at most "
              << fixed(100.0 * reached["share"].get<double>(), 2) << " % asked for";
  }
  std::cout << "\n\n";
  Table blocks({"block", "before", "after", kept_of + " kept"});
  for (const vbp::PruningPlan::Block& block : plan.blocks) {
    blocks.add({block.name, std::to_string(block.width), std::to_string(block.kept_width()),
                fixed(100.0 * block.score_kept, 1) + " %"});
  }
  blocks.print();
  std::cout << '\n';
  const auto number = [](auto value) { return static_cast<double>(value); };
  Table table({"", "dense", "pruned", "change"});
  const auto compare = [&](const char* what, std::int64_t a, std::int64_t b) {
    table.add({what, grouped(a), grouped(b), change(number(a), number(b))});
  };
  compare("parameters", dense_cost.parameters(), pruned_cost.parameters());
  compare("MACs", dense_cost.macs(), pruned_cost.macs());
  compare("file, bytes", static_cast<std::int64_t>(dense_bytes), static_cast<std::int64_t>(pruned_bytes));
  table.add({"latency, ms (median)", fixed(dense_latency.median, 2), fixed(pruned_latency.median, 2),
             change(dense_latency.median, pruned_latency.median)});
  if (predicted) {
    table.add({"latency, ms (in turn)", fixed(dense_latency.median, 2), fixed(measured, 2),
               change(dense_latency.median, measured)});
    table.add(
        {"latency, ms (predicted)", "", fixed(*predicted, 2), change(measured, *predicted) + " of measured"});
  }
  if (before) {
    const auto points = [](double a, double b) {
      return (b >= a ? "+" : "") + fixed(100.0 * (b - a), 2) + " points";
    };
    table.add({"top-1, %", fixed(100.0 * before->top1(), 2), fixed(100.0 * after->top1(), 2),
               points(before->top1(), after->top1())});
    if (before->classes >= 10) {
      table.add({"top-5, %", fixed(100.0 * before->top5(), 2), fixed(100.0 * after->top5(), 2),
                 points(before->top5(), after->top5())});
    }
  }
  table.print();
  std::cout << '\n'
            << left_out(skipped.failures.size() + skipped.duplicates.size())
            << "written: " << printable(options.out) << '\n';
}

}  // namespace

void add_prune(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("prune", "remove hidden neurons, let the others make up for them");
  const auto options = std::make_shared<PruneOptions>();
  options->model.add_to(command);
  options->source.add_to(command);
  options->room.add_to(command);
  command.add_option("--out", options->out, "the pruned model to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->budget.add_to(command);
  options->method.add_to(command);
  const auto evaluate =
      command.add_option("--evaluate", options->evaluate, "measure top-1 before and after on this folder");
  evaluate->check(not_empty)->type_name("DIR");
  command
      .add_option("--evaluate-limit", options->evaluate_limit,
                  "evaluate on N images, spread evenly over the classes, the first of each")
      ->check(whole_number(1))
      ->type_name("N")
      ->needs(evaluate);
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
