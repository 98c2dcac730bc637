#include "sweep.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <utility>

#include "vbp/core/text.hpp"
#include "vbp/kernels/detail/table.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;

bool needs_labels(const std::string& criterion) {
  return Method{.criterion = criterion, .compensation = {}}.needs_labels();
}

/// Those that any folder of images serves.
std::vector<std::string> criteria_without_labels() {
  std::vector<std::string> result = criteria;
  std::erase_if(result, needs_labels);
  return result;
}

struct SweepOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  Room room;
  std::string calibrate;
  std::string evaluate;
  std::string out;
  std::vector<double> rates{0.2, 0.35, 0.5, 0.65, 0.75};
  std::vector<std::string> criteria = criteria_without_labels();
  std::vector<std::string> compensations = tool::compensations;
  std::optional<Index> limit;
  std::optional<Index> evaluate_limit;
  bool resume = false;
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

BudgetOptions budget_of(double rate) {
  BudgetOptions options;
  options.pruner.rate = rate;
  return options;
}

/// A row that there is to be.
struct Trial {
  double rate = 0.0;
  Method method;
};

/// The dense model, the reference of every rate, then one compensation after the other, so that a sweep that
/// is broken off has whole columns.
std::vector<Trial> trials_of(const SweepOptions& options, const std::vector<double>& rates) {
  std::vector<Trial> trials{{0.0, Sweep::dense}};
  for (const double rate : rates) trials.push_back({rate, Sweep::reference});
  for (const std::string& compensation : options.compensations) {
    for (const double rate : rates) {
      for (const std::string& criterion : options.criteria) {
        const Method method{criterion, compensation};
        if (method != Sweep::reference) trials.push_back({rate, method});
      }
    }
  }
  return trials;
}

/// Finds out about one model after the other, and writes the report after each.
class SweepRun {
 public:
  SweepRun(const SweepOptions& options, const Checkpoint& dense,
           const std::vector<vbp::io::ImageEntry>& evaluation, Sweep& sweep)
      : options_(options), dense_(dense), evaluation_(evaluation), sweep_(sweep) {}

  /// Those trials that `sweep` does not know yet.
  void operator()(const CalibrationRun& calibration, const std::vector<Trial>& trials) {
    skipped_ = calibration.skipped;
    Compressor compressor(dense_, calibration, options_.run);
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const Trial& trial = trials[i];
      if (sweep_.knows(trial.rate, trial.method)) continue;
      const std::string title =
          "row " + std::to_string(i + 1) + " of " + std::to_string(trials.size()) + ", evaluating";
      if (trial.method == Sweep::dense) {
        add(row(trial, dense_, title));
        continue;
      }
      std::optional<Compensated> pruned;
      try {
        const Budget budget(budget_of(trial.rate), dense_.model);
        const vbp::PruningPlan plan = compressor.plan(trial.method.criterion, budget).plan;
        pruned = compressor.apply(plan, trial.method.compensation);
      } catch (const vbp::ValueError& error) {
        // Nothing can be compared without the reference.
        if (trial.method == Sweep::reference) throw;
        sweep_.gaps.push_back({trial.rate, trial.method, error.what()});
        options_.json.write(sweep_.json());
        continue;
      }
      add(row(trial, pruned->checkpoint, title));
    }
  }

 private:
  SweepRow row(const Trial& trial, const Checkpoint& checkpoint, const std::string& title) {
    Evaluation evaluation = evaluate(checkpoint, evaluation_, options_.run, title);
    if (!sweep_.rows.empty() && sweep_.rows.front().hits.size() != evaluation.hits.size()) {
      throw vbp::FileError(options_.evaluate, "its images have changed since the first row");
    }
    if (skipped_) {
      auto& failures = skipped_->failures;
      failures.insert(failures.end(), evaluation.failures.begin(), evaluation.failures.end());
      report_failures(failures, sweep_.left_out);
      report_duplicates(skipped_->duplicates, sweep_.left_out);
      skipped_.reset();
    }
    const vbp::Cost cost = cost_of(checkpoint.model);
    const Comparison& times = latency(checkpoint);
    return {trial.rate,  trial.method,        std::move(evaluation.hits), cost.parameters(),
            cost.macs(), times.pruned.median, times.dense.median};
  }

  /// Measured once for models of the same widths, which do the same work.
  const Comparison& latency(const Checkpoint& checkpoint) {
    const auto widths = facts_of(checkpoint.model).hidden_widths;
    auto found = latencies_.find(widths);
    if (found == latencies_.end()) {
      found = latencies_.emplace(widths, measure(dense_.model, checkpoint.model, options_.run)).first;
    }
    return found->second;
  }

  void add(SweepRow row) {
    sweep_.rows.push_back(std::move(row));
    options_.json.write(sweep_.json());
  }

  const SweepOptions& options_;
  const Checkpoint& dense_;
  const std::vector<vbp::io::ImageEntry>& evaluation_;
  Sweep& sweep_;
  std::optional<Skipped> skipped_;  ///< until it is reported, with the first row
  std::map<std::vector<Index>, Comparison> latencies_;
};

/// The rates at which a network of this shape can be pruned; the others become gaps. Throws ValueError where
/// there are none.
std::vector<double> possible(const std::vector<double>& rates, const Model& model, Sweep& sweep) {
  std::vector<double> result;
  std::string reason;
  for (const double rate : rates) {
    try {
      Budget(budget_of(rate), model).even_plan();
      result.push_back(rate);
    } catch (const vbp::ValueError& error) {
      if (reason.empty()) reason = error.what();
      if (!sweep.knows(rate, {})) sweep.gaps.push_back({rate, {}, error.what()});
    }
  }
  if (result.empty()) throw vbp::ValueError(reason);
  return result;
}

void run(SweepOptions options) {
  options.rates = distinct(options.rates);
  options.criteria = distinct(options.criteria);
  options.compensations = distinct(options.compensations);
  if (options.resume && options.json.file.empty()) throw UsageError("--resume needs --json");
  for (const double rate : options.rates) Budget::require(budget_of(rate));
  const std::vector<fs::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, files_of(options.model));

  const Checkpoint dense = load(options.model);
  dense.require_complete();
  const auto evaluation = evaluation_images(dense, options.evaluate, options.evaluate_limit);
  const bool labelled = std::any_of(options.criteria.begin(), options.criteria.end(), needs_labels);
  auto images = calibration_images(options.calibrate, options.limit, {}, labelled ? &dense : nullptr);
  const Contents evaluated = contents_of(evaluation), calibrated = contents_of(images);
  require_disjoint(evaluation, evaluated, set_of(calibrated));
  require_not_read(outputs, paths_of(evaluation));
  require_not_read(outputs, paths_of(images));

  Sweep sweep;
  sweep.settings = {{"model", fingerprint(dense.model).to_string()},
                    {"preprocessing", dense.preprocessing.to_string()},
                    {"calibration", digest_of(images, calibrated)},
                    {"evaluation", digest_of(evaluation, evaluated)},
                    {"batch", options.run.batch},
                    {"threads", thread_count(options.run)},
                    {"architecture", vbp::kernels::table<float>().architecture}};
  if (options.resume && fs::exists(options.json.file)) sweep.resume(options.json.file);
  const auto trials = trials_of(options, possible(options.rates, dense.model, sweep));
  sweep.facts["model"] = options.model.file;
  sweep.facts["calibrate"] = options.calibrate;
  sweep.facts["evaluate"] = options.evaluate;
  sweep.facts["calibration_images"] = images.size();
  sweep.facts["evaluation_images"] = evaluation.size();
  const auto missing = std::count_if(trials.begin(), trials.end(), [&](const Trial& trial) {
    return !sweep.knows(trial.rate, trial.method);
  });
  const auto impossible = std::count_if(sweep.gaps.begin(), sweep.gaps.end(),
                                        [](const SweepGap& gap) { return gap.method != Method{}; });
  sweep.facts["combinations"] = static_cast<std::ptrdiff_t>(sweep.rows.size()) + impossible + missing;

  if (missing > 0) {
    const CalibrationRun calibration =
        calibrate(dense, std::move(images), options.run,
                  {.covariances = true,
                   .start = true,
                   .gradient = labelled,
                   .room = {options.room.bytes,
                            folder_of(options.json.file.empty() ? options.out : options.json.file)}});
    if (!calibration.complete) throw Interrupted("interrupted; nothing was written");
    try {
      SweepRun(options, dense, evaluation, sweep)(calibration, trials);
    } catch (const Interrupted&) {
      if (options.json.file.empty() || sweep.rows.empty()) throw;
      throw Interrupted("interrupted; " + options.json.file + " holds " + std::to_string(sweep.rows.size()) +
                        " rows, --resume goes on from there");
    }
  }
  for (const SweepGap& gap : sweep.gaps) {
    const bool whole = gap.method == Method{};
    std::cerr << "vbp: left out: rate " << vbp::shortest_text(gap.rate) << ": "
              << printable(whole ? gap.reason : gap.method.name() + ": " + gap.reason) << '\n';
  }
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
  list("--criteria", options->criteria, "how neurons are chosen")->check(CLI::IsMember(criteria));
  list("--compensations", options->compensations, "how those that stay make up for the others")
      ->check(CLI::IsMember(compensations));
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
  command.add_flag("--resume", options->resume, "go on from the rows that --json holds");
  options->room.add_to(command);
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
