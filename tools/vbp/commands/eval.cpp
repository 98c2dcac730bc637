#include <iostream>
#include <memory>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "options/images.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/pipeline/evaluate.hpp"

namespace tool {

namespace {

struct EvalOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  std::string data;
  std::optional<vbp::Index> limit;
};

struct EvalInputs {
  vbp::AnyModel model;
  ListedImages images;
};

EvalInputs validate(const EvalOptions& options) {
  require_writable({}, options.json.file);
  require_not_read({options.json.file}, vbp::files_of_model(options.model.file));
  vbp::AnyModel model = options.model.load();
  model.require_complete();
  ListedImages images = list_labelled(options.data, model, options.limit);
  require_not_read({options.json.file}, paths_of(images.entries));
  return {std::move(model), std::move(images)};
}

void report(const EvalOptions& options, const vbp::Evaluation& result, const vbp::Cost& cost, int threads) {
  Json json;
  json["model"] = options.model.file;
  json["data"] = options.data;
  add_evaluation(result, json);
  json["parameters"] = cost.parameters();
  json["macs"] = cost.macs();
  json["threads"] = threads;
  json["batch"] = options.run.batch;
  report_failures(result.failures, json);
  options.json.write(json);

  std::cout << "top-1 " << fixed(100.0 * result.top1(), 2) << " %";
  if (result.classes >= 10) std::cout << ", top-5 " << fixed(100.0 * result.top5(), 2) << " %";
  std::cout << " of " << result.images << " images, " << fixed(result.images_per_second(), 1) << " images/s\n"
            << left_out(result.failures.size());
}

void run(const EvalOptions& options) {
  const EvalInputs inputs = validate(options);
  const RunContext context(options.run);
  const vbp::Evaluation result =
      vbp::evaluate(inputs.model, inputs.images.source,
                    {.batch = options.run.batch, .strict = options.run.strict}, context);
  context.clear_progress();
  report(options, result, inputs.model.cost(), context->threads());
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("eval", "top-1 and top-5 on a folder with one sub-folder a class");
  const auto options = std::make_shared<EvalOptions>();
  options->model.add_to(command);
  command.add_option("--data", options->data, "folder of images, one sub-folder a class")
      ->required()
      ->check(not_empty)
      ->type_name("DIR");
  command
      .add_option("--limit,--evaluate-limit", options->limit,
                  "only N images, spread evenly over the classes, the first of each in name order")
      ->check(whole_number(1))
      ->type_name("N");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
