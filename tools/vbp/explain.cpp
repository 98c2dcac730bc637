#include "explain.hpp"

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>

#include <Eigen/Eigenvalues>

#include "method.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/prune/compensate/refit.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using vbp::Vector;

struct ExplainOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  CalibrationOptions source;
  std::string out;
  std::string criterion;
  BudgetOptions budget;
};

std::vector<double> falling(std::vector<double> values) {
  std::sort(values.begin(), values.end(), std::greater<>());
  return values;
}

BlockErrors errors_of(const vbp::Mlp<float>& block, const vbp::Covariance<float>& moments,
                      const Matrix<double>& covariance, const std::vector<Index>& kept) {
  const Matrix<double> w2 = block.fc2.weight.cast<double>();
  const Vector<double> mean = moments.mean();
  const Matrix<double> kept_columns = vbp::select_columns(w2, kept);
  const auto fit = vbp::refit(w2, Vector<double>::Zero(w2.rows()), mean, covariance, kept);
  const double variance = (w2 * covariance).cwiseProduct(w2).sum();
  const double scale = variance > 0.0 ? 1.0 / variance : 0.0;
  // Without compensation the means of what is removed are missing too: second moments in place of
  // covariances.
  return {.none = scale * vbp::output_error(w2, covariance + mean * mean.transpose(), kept, kept_columns),
          .mean_shift = scale * vbp::output_error(w2, covariance, kept, kept_columns),
          .refit = scale * vbp::output_error(w2, covariance, kept, fit.weight)};
}

ExplainedBlock explain(const vbp::PruningPlan::Block& planned, const vbp::Mlp<float>& block,
                       const Vector<double>& variances, const vbp::Covariance<float>* moments) {
  ExplainedBlock result{.name = planned.name};
  auto next = planned.kept.begin();
  for (Index j = 0; j < planned.width; ++j) {
    const bool stays = next != planned.kept.end() && *next == j;
    if (stays) ++next;
    (stays ? result.kept : result.removed).push_back(variances(j));
  }
  result.kept = falling(std::move(result.kept));
  result.removed = falling(std::move(result.removed));
  if (moments == nullptr) return result;
  const Matrix<double> covariance = moments->covariance();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance, Eigen::EigenvaluesOnly);
  const auto& values = solver.eigenvalues();
  result.spectrum = falling({values.begin(), values.end()});
  result.errors = errors_of(block, *moments, covariance, planned.kept);
  return result;
}

void run(const ExplainOptions& options) {
  options.source.require();
  Budget::require(options.budget);
  const std::vector<fs::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, files_of(options.model));
  require_not_read(outputs, {options.source.statistics});
  const Checkpoint dense = load(options.model);
  dense.require_complete();
  const Budget budget(options.budget, dense.model);
  budget.even_plan();

  const MethodOptions asked{.method = "", .criterion = options.criterion, .compensation = "none"};
  CalibrationRun calibration;
  Method method;
  if (options.source.statistics.empty()) {
    method = asked.resolve(true, true);
    auto images = calibration_images(options.source.calibrate, options.source.limit, {},
                                     method.needs_labels() ? &dense : nullptr);
    require_not_read(outputs, paths_of(images));
    // The criteria shall see what they see in vbp prune.
    calibration = calibrate(dense, std::move(images), options.run,
                            {.covariances = true, .start = true, .gradient = method.needs_labels()});
    if (!calibration.complete) throw Interrupted("interrupted; nothing was written");
  } else {
    calibration = load_calibration(dense, options.source.statistics);
    method = asked.resolve(false, calibration.has_covariances());
  }
  const vbp::io::Calibration& seen = calibration.calibration;
  const bool covariances = !seen.covariances.empty();
  const vbp::PruningPlan plan =
      Compressor(dense, calibration, options.run).plan(method.criterion, budget).plan;

  Explanation explanation{.model = options.model.file,
                          .criterion = method.criterion,
                          .rate = *options.budget.pruner.rate,
                          .images = static_cast<Index>(seen.images.size())};
  explanation.blocks.resize(plan.blocks.size());
  const auto mlps = mlps_of(dense.model);
  vbp::ThreadPool pool(options.run.threads);
  pool.parallel_for(static_cast<Index>(plan.blocks.size()), [&](Index i) {
    const auto b = static_cast<std::size_t>(i);
    explanation.blocks[b] = explain(plan.blocks[b], *mlps[b], seen.statistics[b].variance(),
                                    covariances ? &seen.covariances[b] : nullptr);
  });
  if (interrupted()) throw Interrupted("interrupted; nothing was written");

  Json report = explanation.json();
  report["out"] = options.out;
  report_failures(calibration.skipped.failures, report);
  report_duplicates(calibration.skipped.duplicates, report);
  vbp::io::AtomicFile out(options.out);
  out.write(explanation.page());
  commit(out, options.json, report);

  Table table(covariances ? std::vector<std::string>{"block", "before", "after", "variance kept",
                                                     "error: none", "mean shift", "refit"}
                          : std::vector<std::string>{"block", "before", "after", "variance kept"});
  for (const ExplainedBlock& block : explanation.blocks) table.add(block.cells());
  table.print();
  if (!covariances) std::cout << "\nno spectrum and no errors: they need statistics made with --covariance\n";
  std::cout << '\n'
            << left_out(calibration.skipped.failures.size() + calibration.skipped.duplicates.size())
            << "written: " << printable(options.out) << '\n';
}

}  // namespace

void add_explain(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("explain", "show what a pruning removes, on a page of HTML");
  const auto options = std::make_shared<ExplainOptions>();
  options->model.add_to(command);
  options->source.add_to(command);
  command.add_option("--rate", options->budget.pruner.rate, "share of all hidden neurons to remove, 0 to 1")
      ->required()
      ->check(not_empty)
      ->type_name("R");
  command
      .add_option("--criterion", options->criterion,
                  "how neurons are chosen; default: greedy, or variance where there are no covariances")
      ->check(CLI::IsMember(criteria));
  command.add_option("--out", options->out, "the page to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
