#include <iostream>
#include <memory>

#include "common.hpp"

namespace tool {

namespace {

struct EvalOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  std::string data;
  std::optional<vbp::Index> limit;
};

void run(const EvalOptions& options) {
  require_writable({}, options.json.file);
  require_not_read({options.json.file}, files_of(options.model));
  const Checkpoint checkpoint = load(options.model);
  checkpoint.require_complete();
  const auto images = evaluation_images(checkpoint, options.data, options.limit);
  require_not_read({options.json.file}, paths_of(images));
  const Evaluation result = evaluate(checkpoint, images, options.run, "evaluating");
  const vbp::Cost cost = cost_of(checkpoint.model);

  Json report;
  report["model"] = options.model.file;
  report["data"] = options.data;
  result.add_to(report);
  report["parameters"] = cost.parameters();
  report["macs"] = cost.macs();
  report["threads"] = thread_count(options.run);
  report["batch"] = options.run.batch;
  report_failures(result.failures, report);
  options.json.write(report);

  std::cout << "top-1 " << fixed(100.0 * result.top1(), 2) << " %";
  if (result.classes >= 10) std::cout << ", top-5 " << fixed(100.0 * result.top5(), 2) << " %";
  std::cout << " of " << result.images << " images, " << fixed(result.images_per_second(), 1) << " images/s\n"
            << left_out(result.failures.size());
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
