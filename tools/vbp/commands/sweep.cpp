#include "report/sweep.hpp"

#include <algorithm>
#include <iostream>
#include <map>
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
#include "vbp/core/text.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/latency.hpp"
#include "vbp/pipeline/prune.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;

bool needs_labels(const std::string& criterion) {
  return vbp::Method{.criterion = vbp::parse_criterion(criterion)}.needs_labels();
}

/// The criteria that any folder of images serves.
std::vector<std::string> criteria_without_labels() {
  std::vector<std::string> result = criterion_names();
  std::erase_if(result, needs_labels);
  return result;
}

struct SweepOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  MemoryOption memory;
  std::string calibrate;
  std::string evaluate;
  std::string out;
  std::vector<double> rates{0.2, 0.35, 0.5, 0.65, 0.75};
  std::vector<std::string> criteria = criteria_without_labels();
  std::vector<std::string> compensations = compensation_names();
  std::optional<Index> limit;
  std::optional<Index> evaluate_limit;
  bool resume = false;

  bool needs_labels() const { return std::any_of(criteria.begin(), criteria.end(), &tool::needs_labels); }
};

/// A row that there is to be.
struct Trial {
  double rate = 0.0;
  std::optional<vbp::Method> method;  ///< none for the dense model
};

/// Every value once, in the order of their first occurrence.
template <class T>
std::vector<T> distinct(const std::vector<T>& values) {
  std::vector<T> result;
  for (const T& value : values) {
    if (std::find(result.begin(), result.end(), value) == result.end()) result.push_back(value);
  }
  return result;
}

/// The dense model, the reference at every rate, then one compensation after the other, so that a sweep that
/// is interrupted has whole columns.
std::vector<Trial> trials_of(const SweepOptions& options, const std::vector<double>& rates) {
  std::vector<Trial> trials{{0.0, std::nullopt}};
  for (const double rate : rates) trials.push_back({rate, Sweep::reference});
  for (const std::string& compensation : options.compensations) {
    for (const double rate : rates) {
      for (const std::string& criterion : options.criteria) {
        const vbp::Method method{vbp::parse_criterion(criterion), vbp::parse_compensation(compensation)};
        if (method != Sweep::reference) trials.push_back({rate, method});
      }
    }
  }
  return trials;
}

// ---- validate ----

struct SweepInputs {
  vbp::AnyModel dense;
  ListedImages evaluation;
  ListedImages images;
  Sweep sweep = {};
  std::vector<Trial> trials = {};
};

/// One hash of the images' contents and labels.
std::string digest_of(const ListedImages& images,
                      const std::vector<std::optional<vbp::io::Hash128>>& hashes) {
  std::string text;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    text += (hashes[i] ? hashes[i]->to_string() : "unreadable") + ' ' +
            std::to_string(images.entries[i].label) + '\n';
  }
  return vbp::io::hash_bytes(std::as_bytes(std::span(text))).to_string();
}

/// The rates that this model can be pruned at; the others become gaps. Throws ValueError if there are none.
std::vector<double> possible_rates(const std::vector<double>& rates, const vbp::AnyModel& model,
                                   Sweep& sweep) {
  std::vector<double> result;
  std::string reason;
  for (const double rate : rates) {
    try {
      vbp::ModelBudget({.rate = rate}, model).even_plan();
      result.push_back(rate);
    } catch (const vbp::ValueError& error) {
      if (reason.empty()) reason = error.what();
      if (!sweep.knows(rate, std::nullopt)) sweep.gaps.push_back({rate, std::nullopt, error.what()});
    }
  }
  if (result.empty()) throw vbp::ValueError(reason);
  return result;
}

/// What stands in the report before the rows.
Json facts_of(const SweepOptions& options, const SweepInputs& inputs) {
  const Sweep& sweep = inputs.sweep;
  const auto missing = std::count_if(inputs.trials.begin(), inputs.trials.end(), [&](const Trial& trial) {
    return !sweep.knows(trial.rate, trial.method);
  });
  const auto impossible = std::count_if(sweep.gaps.begin(), sweep.gaps.end(),
                                        [](const SweepGap& gap) { return gap.method.has_value(); });
  Json facts;
  facts["model"] = options.model.file;
  facts["calibrate"] = options.calibrate;
  facts["evaluate"] = options.evaluate;
  facts["calibration_images"] = inputs.images.entries.size();
  facts["evaluation_images"] = inputs.evaluation.entries.size();
  facts["combinations"] = static_cast<std::ptrdiff_t>(sweep.rows.size()) + impossible + missing;
  return facts;
}

void require_options(const SweepOptions& options) {
  if (options.resume && options.json.file.empty()) throw UsageError("--resume needs --json");
  for (const double rate : options.rates) vbp::require_prune_options({.rate = rate});
}

SweepInputs validate(const SweepOptions& options, const vbp::Context& context) {
  require_options(options);
  const std::vector<fs::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, vbp::files_of_model(options.model.file));
  vbp::AnyModel dense = options.model.load();
  dense.require_complete();
  ListedImages evaluation = list_labelled(options.evaluate, dense, options.evaluate_limit);
  ListedImages images =
      list_images(options.calibrate, options.limit, options.needs_labels() ? &dense : nullptr);
  const auto evaluated = evaluation.source.hashes(context), calibrated = images.source.hashes(context);
  vbp::require_disjoint(evaluation.source, known_hashes(calibrated), context);
  require_not_read(outputs, paths_of(evaluation.entries));
  require_not_read(outputs, paths_of(images.entries));

  SweepInputs inputs{std::move(dense), std::move(evaluation), std::move(images)};
  inputs.sweep.settings = {{"model", inputs.dense.fingerprint().to_string()},
                           {"preprocessing", inputs.dense.preprocessing().to_string()},
                           {"calibration", digest_of(inputs.images, calibrated)},
                           {"evaluation", digest_of(inputs.evaluation, evaluated)},
                           {"batch", options.run.batch},
                           {"threads", context.threads()},
                           {"architecture", vbp::kernels::architecture().name}};
  if (options.resume && fs::exists(options.json.file)) inputs.sweep.resume(options.json.file);
  inputs.trials = trials_of(options, possible_rates(options.rates, inputs.dense, inputs.sweep));
  inputs.sweep.facts = facts_of(options, inputs);
  return inputs;
}

// ---- work ----

/// Measures one model after the other, and writes the report after each.
class SweepWork {
 public:
  SweepWork(const SweepOptions& options, SweepInputs& inputs, const vbp::CalibrationResult& calibration,
            const RunContext& context)
      : options_(options),
        inputs_(inputs),
        sweep_(inputs.sweep),
        context_(context),
        skipped_(calibration.skipped),
        pruner_(inputs.dense, calibration, options.run.batch, context) {}

  /// The trials that the sweep does not know yet.
  void run() {
    for (std::size_t i = 0; i < inputs_.trials.size(); ++i) {
      const Trial& trial = inputs_.trials[i];
      if (sweep_.knows(trial.rate, trial.method)) continue;
      const std::string task =
          "row " + std::to_string(i + 1) + " of " + std::to_string(inputs_.trials.size()) + ", evaluating";
      if (!trial.method) {
        add(row(trial, inputs_.dense, task));
      } else if (const auto pruned = prune(trial)) {
        add(row(trial, *pruned, task));
      }
    }
  }

 private:
  /// The pruned model; nothing, and a gap, where it is not possible.
  std::optional<vbp::AnyModel> prune(const Trial& trial) {
    try {
      vbp::ModelBudget budget({.rate = trial.rate}, inputs_.dense);
      const vbp::PruningPlan plan = pruner_.plan(trial.method->criterion, budget).plan;
      return pruner_.apply(plan, trial.method->compensation).model;
    } catch (const vbp::ValueError& error) {
      // Without the reference nothing can be compared.
      if (trial.method == Sweep::reference) throw;
      sweep_.gaps.push_back({trial.rate, trial.method, error.what()});
      options_.json.write(sweep_.json());
      return std::nullopt;
    }
  }

  SweepRow row(const Trial& trial, const vbp::AnyModel& model, const std::string& task) {
    vbp::Evaluation evaluation =
        vbp::evaluate(model, inputs_.evaluation.source,
                      {.batch = options_.run.batch, .strict = options_.run.strict, .task = task}, context_);
    if (!sweep_.rows.empty() && sweep_.rows.front().hits.size() != evaluation.hits.size()) {
      throw vbp::FileError(options_.evaluate, "its images have changed since the first row");
    }
    if (skipped_) {
      skipped_->failures.insert(skipped_->failures.end(), evaluation.failures.begin(),
                                evaluation.failures.end());
      context_.clear_progress();
      report_skipped(*skipped_, sweep_.left_out);
      skipped_.reset();
    }
    const vbp::Cost cost = model.cost();
    const vbp::LatencyComparison& times = latency(model);
    return {trial.rate,  trial.method,        std::move(evaluation.hits), cost.parameters(),
            cost.macs(), times.pruned.median, times.dense.median};
  }

  /// Measured once for models of the same widths, which do the same work.
  const vbp::LatencyComparison& latency(const vbp::AnyModel& model) {
    const auto widths = model.description().hidden_widths;
    auto found = latencies_.find(widths);
    if (found == latencies_.end()) {
      found = latencies_.emplace(widths, vbp::measure_latency(inputs_.dense, model, {}, context_)).first;
    }
    return found->second;
  }

  void add(SweepRow row) {
    sweep_.rows.push_back(std::move(row));
    options_.json.write(sweep_.json());
  }

  const SweepOptions& options_;
  const SweepInputs& inputs_;
  Sweep& sweep_;
  const RunContext& context_;
  std::optional<vbp::SkippedImages> skipped_;  ///< until it is reported, with the first row
  vbp::ModelPruner pruner_;
  std::map<std::vector<Index>, vbp::LatencyComparison> latencies_;
};

void work(const SweepOptions& options, SweepInputs& inputs, const RunContext& context) {
  const bool complete = std::all_of(inputs.trials.begin(), inputs.trials.end(), [&](const Trial& trial) {
    return inputs.sweep.knows(trial.rate, trial.method);
  });
  if (complete) return;
  const fs::path output = options.json.file.empty() ? options.out : options.json.file;
  const vbp::CalibrationResult calibration = vbp::calibrate(inputs.dense, inputs.images.source,
                                                            {.covariances = true,
                                                             .residual_stream = true,
                                                             .gradient = options.needs_labels(),
                                                             .memory = options.memory.limit(output),
                                                             .batch = options.run.batch,
                                                             .strict = options.run.strict},
                                                            context);
  try {
    SweepWork(options, inputs, calibration, context).run();
  } catch (const vbp::Cancelled&) {
    if (options.json.file.empty() || inputs.sweep.rows.empty()) throw;
    throw Interrupted("interrupted; " + options.json.file + " holds " +
                      std::to_string(inputs.sweep.rows.size()) + " rows, --resume goes on from there");
  }
}

// ---- report ----

void report_gaps(const std::vector<SweepGap>& gaps) {
  for (const SweepGap& gap : gaps) {
    std::cerr << "vbp: left out: rate " << vbp::shortest_text(gap.rate) << ": "
              << printable(gap.method ? gap.method->name() + ": " + gap.reason : gap.reason) << '\n';
  }
}

void report(const SweepOptions& options, const Sweep& sweep) {
  report_gaps(sweep.gaps);
  if (!options.out.empty()) {
    vbp::io::AtomicFile out(options.out);
    out.write(chart::to_svg(sweep.figure()));
    commit(out, options.json, sweep.json());
  }
  std::cout << "top-1 on " << sweep.rows.front().hits.size() << " images, calibrated on "
            << sweep.facts["calibration_images"] << "; beside it the difference to "
            << Sweep::reference.name()
            << " at the same rate and its standard error, image by image, in points\n\n";
  sweep.print();
  const std::size_t left = sweep.left_out["failures"].size() + sweep.left_out["duplicates"].size();
  if (left > 0) std::cout << '\n' << left_out(left);
  if (!options.out.empty()) std::cout << "\nwritten: " << printable(options.out) << '\n';
}

void run(SweepOptions options) {
  options.rates = distinct(options.rates);
  options.criteria = distinct(options.criteria);
  options.compensations = distinct(options.compensations);
  const RunContext context(options.run);
  SweepInputs inputs = validate(options, context);
  work(options, inputs, context);
  context.clear_progress();
  report(options, inputs.sweep);
}

}  // namespace

void add_sweep(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("sweep", "compare rates, criteria and compensations, from one calibration");
  const auto options = std::make_shared<SweepOptions>();
  options->model.add_to(command);
  const auto folder = [&](const char* name, std::string& value, const char* what) {
    command.add_option(name, value, what)->required()->check(not_empty)->type_name("DIR");
  };
  folder("--calibrate", options->calibrate, "folder of calibration images, no labels needed");
  folder("--evaluate", options->evaluate, "folder to measure top-1 on, one sub-folder a class");
  const auto list = [&](const char* name, auto& values, const char* what) {
    return command.add_option(name, values, what)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(not_empty)
        ->capture_default_str();
  };
  list("--rates", options->rates, "shares of all hidden neurons to remove, 0 to 1")->type_name("R,...");
  list("--criteria", options->criteria, "how neurons are chosen")->check(CLI::IsMember(criterion_names()));
  list("--compensations", options->compensations, "how the kept neurons make up for the removed ones")
      ->check(CLI::IsMember(compensation_names()));
  command.add_option("--out", options->out, "also draw top-1 over latency into this file, as SVG")
      ->check(not_empty)
      ->type_name("FILE");
  const auto limit = [&](const char* name, std::optional<Index>& value, const char* what) {
    command.add_option(name, value, what)->check(whole_number(1))->type_name("N");
  };
  limit("--limit", options->limit,
        "calibrate on N images, spread evenly over the sub-folders, the first of each");
  limit("--evaluate-limit", options->evaluate_limit,
        "evaluate on N images, spread evenly over the classes, the first of each");
  command.add_flag("--resume", options->resume, "continue with the rows that --json lacks");
  options->memory.add_to(command);
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
