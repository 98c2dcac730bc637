#include "vbp/pipeline/prune.hpp"

#include <iostream>
#include <memory>
#include <utility>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "options/images.hpp"
#include "options/pruning.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/latency.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;

struct PruneCommand {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  CalibrationOptions source;
  MemoryOption memory;
  std::string evaluate;
  std::string out;
  MethodOptions method;
  BudgetOptions budget;
  std::optional<Index> evaluate_limit;
};

/// Everything that the files can tell before the long work.
struct PruneInputs {
  vbp::AnyModel dense;
  vbp::PruneOptions options;
  vbp::Method method = {};
  std::optional<ListedImages> evaluation = std::nullopt;
  /// One of the two is there.
  std::optional<ListedImages> images = std::nullopt;
  std::optional<vbp::CalibrationResult> statistics = std::nullopt;
};

struct PruneOutcome {
  vbp::AnyModel pruned;
  vbp::PruneResult result;
  vbp::LatencyComparison latency = {};
  std::optional<vbp::Evaluation> before = std::nullopt, after = std::nullopt;
  int threads = 0;

  /// The pruned model's latency as a share of the dense one that was measured beside it: a machine may have
  /// changed its speed since the table of latencies was measured.
  double measured_ms() const { return latency.ratio * latency.dense.median; }
  /// The same as a latency budget predicts it; none under another budget.
  std::optional<double> predicted_ms() const {
    const auto& budget = result.report.budget;
    if (!budget || budget->of != "latency") return std::nullopt;
    return budget->reached * latency.dense.median;
  }
};

// ---- validate ----

/// The files that are written, each another one. Throws as require_writable does.
std::vector<fs::path> require_outputs(const PruneCommand& command) {
  const fs::path out = command.out, json = command.json.file;
  const fs::path table = command.budget.prune.latency_table.file;
  require_writable(out, json);
  if (!table.empty()) require_folder_of(table);
  for (const fs::path& other : {out, json}) {
    if (!table.empty() && !other.empty() && same_file(table, other)) {
      throw vbp::FileError(table.string(), "is the file of --latency-table and would be overwritten");
    }
  }
  return {out, json, table};
}

/// The images or statistics to calibrate by, and the method that they allow.
void choose_source(const PruneCommand& command, const std::vector<fs::path>& outputs,
                   const vbp::Context& context, PruneInputs& inputs) {
  if (command.source.statistics.empty()) {
    inputs.method = tool::method_of(inputs.options, {.images = true, .labels = true, .covariances = true});
    inputs.images = list_images(command.source.calibrate, command.source.limit,
                                inputs.method.needs_labels() ? &inputs.dense : nullptr);
    if (inputs.evaluation) {
      vbp::require_disjoint(inputs.evaluation->source, known_hashes(inputs.images->source.hashes(context)),
                            context);
    }
    require_not_read(outputs, paths_of(inputs.images->entries));
    return;
  }
  inputs.statistics = vbp::load_statistics(inputs.dense, command.source.statistics,
                                           {.residual_stream = true, .memory = inputs.options.memory});
  if (inputs.evaluation) {
    vbp::require_disjoint(inputs.evaluation->source, inputs.statistics->calibration.images, context);
  }
  inputs.method = tool::method_of(inputs.options, {.covariances = inputs.statistics->has_covariances()});
}

PruneInputs validate(const PruneCommand& command, const vbp::Context& context) {
  command.source.require();
  vbp::PruneOptions options = command.budget.checked();
  const std::vector<fs::path> outputs = require_outputs(command);
  require_not_read(outputs, vbp::files_of_model(command.model.file));
  require_not_read(outputs, {command.source.statistics});
  command.method.apply_to(options);
  options.memory = command.memory.limit(command.out);
  options.batch = command.run.batch;
  options.strict = command.run.strict;

  PruneInputs inputs{.dense = command.model.load(), .options = std::move(options)};
  inputs.dense.require_complete();
  if (!command.evaluate.empty()) {
    inputs.evaluation = list_labelled(command.evaluate, inputs.dense, command.evaluate_limit);
    require_not_read(outputs, paths_of(inputs.evaluation->entries));
  }
  choose_source(command, outputs, context, inputs);
  return inputs;
}

// ---- work ----

vbp::PruneResult prune(vbp::AnyModel& model, const PruneInputs& inputs, const vbp::Context& context) {
  return inputs.images ? vbp::prune(model, inputs.images->source, inputs.options, context)
                       : vbp::prune(model, *inputs.statistics, inputs.options, context);
}

PruneOutcome work(const PruneCommand& command, const PruneInputs& inputs, const vbp::Context& context) {
  vbp::AnyModel pruned = inputs.dense;
  vbp::PruneResult result = prune(pruned, inputs, context);
  PruneOutcome outcome{.pruned = std::move(pruned), .result = std::move(result)};
  outcome.threads = context.threads();
  vbp::MeasureOptions measure{.batch = inputs.options.latency_table.batch};
  if (inputs.options.latency) measure.limit = vbp::kDecisiveMeasurement;
  outcome.latency = vbp::measure_latency(inputs.dense, outcome.pruned, measure, context);
  if (inputs.evaluation) {
    vbp::EvaluateOptions evaluate{.batch = command.run.batch, .strict = command.run.strict};
    evaluate.task = "evaluating dense";
    outcome.before = vbp::evaluate(inputs.dense, inputs.evaluation->source, evaluate, context);
    evaluate.task = "evaluating pruned";
    outcome.after = vbp::evaluate(outcome.pruned, inputs.evaluation->source, evaluate, context);
  }
  return outcome;
}

// ---- report ----

Json side(const vbp::Cost& cost, std::uintmax_t file_bytes, const vbp::Latency& latency,
          const std::optional<vbp::Evaluation>& evaluation) {
  Json json;
  json["parameters"] = cost.parameters();
  json["macs"] = cost.macs();
  json["macs_fvcore"] = cost.macs_fvcore();
  json["file_bytes"] = file_bytes;
  json["latency_ms"] = tool::json_of(latency);
  if (evaluation) add_evaluation(*evaluation, json);
  return json;
}

/// What the criterion ranks by, in names: of the sum over all neurons a share is kept.
std::string ranked_by(const vbp::Method& method) {
  return method.criterion == vbp::Criterion::variance ? "variance" : "score";
}

Json blocks_json(const PruneOutcome& outcome) {
  Json blocks = Json::array();
  for (const vbp::PruningPlan::Block& block : outcome.result.plan.blocks) {
    blocks.push_back({{"name", block.name},
                      {"width_before", block.width},
                      {"width_after", block.kept_width()},
                      {ranked_by(outcome.result.report.method) + "_kept", block.score_kept}});
  }
  return blocks;
}

Json compensated_json(const vbp::PruneReport& report) {
  Json layers = Json::array();
  for (const vbp::CompensatedLayer& layer : report.compensated) {
    if (report.method.is_sequential()) {
      layers.push_back({{"name", layer.name},
                        {"error_before", layer.before},
                        {"error_after", layer.after},
                        {"shrinkage", layer.shrinkage},
                        {"first_layer_steps", layer.first_layer_steps}});
    } else {
      layers.push_back(
          {{"name", layer.name}, {"error_mean_shift", layer.before}, {"error_refit", layer.after}});
    }
  }
  return layers;
}

Json json_of(const PruneCommand& command, const PruneInputs& inputs, const PruneOutcome& outcome,
             std::uint64_t pruned_bytes) {
  const vbp::PruneReport& report = outcome.result.report;
  const vbp::PruningPlan& plan = outcome.result.plan;
  Json json;
  json["model"] = command.model.file;
  json["out"] = command.out;
  json["method"] = report.method.name();
  json["criterion"] = vbp::name_of(report.method.criterion);
  json["compensation"] = vbp::name_of(report.method.compensation);
  json["scope"] = command.budget.scope;
  json["calibration_images"] = report.calibration_images;
  json["neurons"] = plan.total();
  json["requested"] = plan.requested;
  json["removed"] = plan.removed();
  if (report.budget) {
    json["budget"] = {
        {"of", report.budget->of}, {"share", report.budget->share}, {"reached", report.budget->reached}};
  }
  if (report.memory) json["memory"] = tool::json_of(*report.memory);
  if (const auto predicted = outcome.predicted_ms()) {
    json["latency_ms"] = {{"predicted", *predicted}, {"measured", outcome.measured_ms()}};
  }
  json["threads"] = outcome.threads;
  json["dense"] =
      side(inputs.dense.cost(), fs::file_size(command.model.file), outcome.latency.dense, outcome.before);
  json["pruned"] = side(outcome.pruned.cost(), pruned_bytes, outcome.latency.pruned, outcome.after);
  json["blocks"] = blocks_json(outcome);
  json["compensated"] = compensated_json(report);
  return json;
}

void print_summary(const PruneInputs& inputs, const PruneOutcome& outcome) {
  const vbp::PruneReport& report = outcome.result.report;
  const vbp::PruningPlan& plan = outcome.result.plan;
  std::cout << "method " << report.method.name() << ", calibrated on " << report.calibration_images
            << " images: " << grouped(plan.removed()) << " of " << grouped(plan.total())
            << " neurons removed";
  if (plan.removed() != plan.requested) {
    std::cout << " (" << grouped(plan.requested) << " asked for; a width multiple of "
              << inputs.options.multiple << " allows no more)";
  }
  if (report.budget) {
    std::cout << "; " << fixed(100.0 * report.budget->reached, 2) << " % of the " << report.budget->of
              << " left, at most " << fixed(100.0 * report.budget->share, 2) << " % asked for";
  }
  std::cout << "\n\n";
  Table blocks({"block", "before", "after", ranked_by(report.method) + " kept"});
  for (const vbp::PruningPlan::Block& block : plan.blocks) {
    blocks.add({block.name, std::to_string(block.width), std::to_string(block.kept_width()),
                fixed(100.0 * block.score_kept, 1) + " %"});
  }
  blocks.print();
  std::cout << '\n';
}

void add_latencies(const PruneOutcome& outcome, Table& table) {
  const auto& [dense, pruned, ratio] = outcome.latency;
  table.add({"latency, ms (median)", fixed(dense.median, 2), fixed(pruned.median, 2),
             change(dense.median, pruned.median)});
  const auto predicted = outcome.predicted_ms();
  if (!predicted) return;
  const double measured = outcome.measured_ms();
  table.add(
      {"latency, ms (in turn)", fixed(dense.median, 2), fixed(measured, 2), change(dense.median, measured)});
  table.add(
      {"latency, ms (predicted)", "", fixed(*predicted, 2), change(measured, *predicted) + " of measured"});
}

void add_accuracies(const PruneOutcome& outcome, Table& table) {
  if (!outcome.before) return;
  const auto add = [&](const char* what, double before, double after) {
    table.add({what, fixed(100.0 * before, 2), fixed(100.0 * after, 2),
               (after >= before ? "+" : "") + fixed(100.0 * (after - before), 2) + " points"});
  };
  add("top-1, %", outcome.before->top1(), outcome.after->top1());
  if (outcome.before->classes >= 10) add("top-5, %", outcome.before->top5(), outcome.after->top5());
}

void print_comparison(const PruneCommand& command, const PruneInputs& inputs, const PruneOutcome& outcome,
                      std::uint64_t pruned_bytes) {
  const vbp::Cost dense = inputs.dense.cost(), pruned = outcome.pruned.cost();
  Table table({"", "dense", "pruned", "change"});
  const auto compare = [&](const char* what, std::int64_t a, std::int64_t b) {
    table.add({what, grouped(a), grouped(b), change(static_cast<double>(a), static_cast<double>(b))});
  };
  compare("parameters", dense.parameters(), pruned.parameters());
  compare("MACs", dense.macs(), pruned.macs());
  compare("file, bytes", static_cast<std::int64_t>(fs::file_size(command.model.file)),
          static_cast<std::int64_t>(pruned_bytes));
  add_latencies(outcome, table);
  add_accuracies(outcome, table);
  table.print();
}

void report(const PruneCommand& command, const PruneInputs& inputs, const PruneOutcome& outcome) {
  vbp::io::AtomicFile out(command.out);
  vbp::save_model(out, outcome.pruned);
  const std::uint64_t pruned_bytes = out.size();
  Json json = json_of(command, inputs, outcome, pruned_bytes);
  vbp::SkippedImages skipped = outcome.result.report.skipped;
  if (outcome.before) {
    const auto& failures = outcome.before->failures;
    skipped.failures.insert(skipped.failures.end(), failures.begin(), failures.end());
  }
  report_skipped(skipped, json);
  commit(out, command.json, json);
  print_summary(inputs, outcome);
  print_comparison(command, inputs, outcome, pruned_bytes);
  std::cout << '\n' << left_out(count_of(skipped)) << "written: " << printable(command.out) << '\n';
}

void run(const PruneCommand& command) {
  const RunContext context(command.run);
  const PruneInputs inputs = validate(command, context);
  const PruneOutcome outcome = work(command, inputs, context);
  context.clear_progress();
  report(command, inputs, outcome);
}

}  // namespace

void add_prune(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("prune", "remove hidden neurons and let the others make up for them");
  const auto options = std::make_shared<PruneCommand>();
  options->model.add_to(command);
  options->source.add_to(command);
  options->memory.add_to(command);
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
