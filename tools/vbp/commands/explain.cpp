#include "report/explain.hpp"

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <utility>

#include <Eigen/Eigenvalues>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "options/images.hpp"
#include "options/pruning.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/pipeline/calibrate.hpp"
#include "vbp/pipeline/prune.hpp"
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
  // Without compensation the means of the removed neurons are missing too: second moments take the place of
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

// ---- validate ----

struct ExplainInputs {
  vbp::AnyModel dense;
  vbp::PruneOptions options;
  vbp::Criterion criterion = vbp::Criterion::variance;
  /// One of the two is there.
  std::optional<ListedImages> images = std::nullopt;
  std::optional<vbp::CalibrationResult> statistics = std::nullopt;
};

ExplainInputs validate(const ExplainOptions& options) {
  options.source.require();
  vbp::PruneOptions prune = options.budget.checked();
  const std::vector<fs::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, vbp::files_of_model(options.model.file));
  require_not_read(outputs, {options.source.statistics});
  if (!options.criterion.empty()) prune.criterion = vbp::parse_criterion(options.criterion);
  prune.compensation = vbp::Compensation::none;

  ExplainInputs inputs{.dense = options.model.load(), .options = std::move(prune)};
  inputs.dense.require_complete();
  vbp::ModelBudget(inputs.options, inputs.dense).even_plan();
  if (!options.source.statistics.empty()) {
    inputs.statistics = vbp::load_statistics(inputs.dense, options.source.statistics);
    inputs.criterion =
        tool::method_of(inputs.options, {.covariances = inputs.statistics->has_covariances()}).criterion;
    return inputs;
  }
  const vbp::Method method =
      tool::method_of(inputs.options, {.images = true, .labels = true, .covariances = true});
  inputs.criterion = method.criterion;
  inputs.images = list_images(options.source.calibrate, options.source.limit,
                              method.needs_labels() ? &inputs.dense : nullptr);
  require_not_read(outputs, paths_of(inputs.images->entries));
  return inputs;
}

// ---- work ----

vbp::CalibrationResult calibration_of(const ExplainOptions& options, ExplainInputs& inputs,
                                      const vbp::Context& context) {
  if (inputs.statistics) return std::move(*inputs.statistics);
  // The criteria shall see what they see in vbp prune.
  return vbp::calibrate(inputs.dense, inputs.images->source,
                        {.covariances = true,
                         .residual_stream = true,
                         .gradient = inputs.criterion == vbp::Criterion::snip,
                         .batch = options.run.batch,
                         .strict = options.run.strict},
                        context);
}

Explanation work(const ExplainOptions& options, const ExplainInputs& inputs,
                 const vbp::CalibrationResult& calibration, const vbp::Context& context) {
  vbp::ModelBudget budget(inputs.options, inputs.dense);
  vbp::ModelPruner pruner(inputs.dense, calibration, options.run.batch, context);
  const vbp::PruningPlan plan = pruner.plan(inputs.criterion, budget).plan;
  const vbp::io::Calibration& seen = calibration.calibration;
  Explanation explanation{.model = options.model.file,
                          .criterion = std::string(vbp::name_of(inputs.criterion)),
                          .rate = *inputs.options.rate,
                          .images = static_cast<Index>(seen.images.size())};
  explanation.blocks.resize(plan.blocks.size());
  const auto mlps = inputs.dense.mlps();
  context.pool().parallel_for(static_cast<Index>(plan.blocks.size()), [&](Index i) {
    const auto b = static_cast<std::size_t>(i);
    explanation.blocks[b] = explain(plan.blocks[b], *mlps[b], seen.statistics[b].variance(),
                                    seen.covariances.empty() ? nullptr : &seen.covariances[b]);
  });
  context.require_not_cancelled();
  return explanation;
}

// ---- report ----

void report(const ExplainOptions& options, const Explanation& explanation,
            const vbp::SkippedImages& skipped) {
  Json json = explanation.json();
  json["out"] = options.out;
  report_skipped(skipped, json);
  vbp::io::AtomicFile out(options.out);
  out.write(explanation.page());
  commit(out, options.json, json);

  const bool covariances = explanation.blocks.front().errors.has_value();
  std::vector<std::string> header{"block", "before", "after", "variance kept"};
  if (covariances) header.insert(header.end(), {"error: none", "mean shift", "refit"});
  Table table(std::move(header));
  for (const ExplainedBlock& block : explanation.blocks) table.add(block.cells());
  table.print();
  if (!covariances) {
    std::cout << "\nno spectrum and no errors: they need statistics made with --covariance\n";
  }
  std::cout << '\n' << left_out(count_of(skipped)) << "written: " << printable(options.out) << '\n';
}

void run(const ExplainOptions& options) {
  ExplainInputs inputs = validate(options);
  const RunContext context(options.run);
  const vbp::CalibrationResult calibration = calibration_of(options, inputs, context);
  const Explanation explanation = work(options, inputs, calibration, context);
  context.clear_progress();
  report(options, explanation, calibration.skipped);
}

}  // namespace

void add_explain(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("explain", "show what a pruning removes, on a page of HTML");
  const auto options = std::make_shared<ExplainOptions>();
  options->model.add_to(command);
  options->source.add_to(command);
  command.add_option("--rate", options->budget.prune.rate, "share of all hidden neurons to remove, 0 to 1")
      ->required()
      ->check(not_empty)
      ->type_name("R");
  command
      .add_option("--criterion", options->criterion,
                  "how neurons are chosen; default: greedy, or variance if there are no covariances")
      ->check(CLI::IsMember(criterion_names()));
  command.add_option("--out", options->out, "the page to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
