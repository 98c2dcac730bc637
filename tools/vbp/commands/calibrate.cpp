#include "vbp/pipeline/calibrate.hpp"

#include <iostream>
#include <memory>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "options/images.hpp"
#include "report/images.hpp"
#include "report/statistics.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"

namespace tool {

namespace {

struct CalibrateOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  MemoryOption memory;
  std::string data;
  std::string out;
  std::optional<vbp::Index> limit;
  bool resume = false;
  bool covariance = false;

  vbp::CalibrateOptions calibration() const {
    return {.covariances = covariance, .memory = memory.limit(out), .batch = run.batch, .strict = run.strict};
  }
};

struct CalibrateInputs {
  vbp::AnyModel model;
  ListedImages images;
  /// The statistics that --resume continues.
  std::optional<vbp::CalibrationResult> begun = std::nullopt;
};

CalibrateInputs validate(const CalibrateOptions& options) {
  const std::vector<std::filesystem::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, vbp::files_of_model(options.model.file));
  vbp::AnyModel model = options.model.load();
  model.require_complete();
  CalibrateInputs inputs{std::move(model), list_images(options.data, options.limit)};
  require_not_read(outputs, paths_of(inputs.images.entries));
  if (!options.resume || !std::filesystem::exists(options.out)) return inputs;
  inputs.begun = vbp::load_statistics(inputs.model, options.out, options.calibration());
  if (inputs.begun->has_covariances() != options.covariance) {
    throw vbp::FileError(options.out, "holds the moments \"" + inputs.begun->moments() + "\"; go on " +
                                          (options.covariance ? "without" : "with") + " --covariance");
  }
  return inputs;
}

/// After an interruption: saves what was seen, where that can be continued. Says what was done.
[[noreturn]] void finish_interrupted(const CalibrateOptions& options, const vbp::CalibrationResult& result) {
  if (result.passes > 1) {
    throw Interrupted(
        "interrupted; nothing was written: with this --memory the covariances are gathered in " +
        std::to_string(result.passes) + " passes over the images, and complete only after the last");
  }
  if (result.images == 0) throw Interrupted("interrupted; nothing was written");
  vbp::save_statistics(options.out, result);
  throw Interrupted("interrupted; " + options.out + " holds the " +
                    std::to_string(result.calibration.images.size()) +
                    " images seen so far, --resume goes on from there");
}

vbp::CalibrationResult calibrate(const CalibrateOptions& options, CalibrateInputs inputs,
                                 const RunContext& context) {
  vbp::CalibrationResult result =
      inputs.begun ? std::move(*inputs.begun) : vbp::begin_calibration(inputs.model);
  try {
    vbp::continue_calibration(result, inputs.model, inputs.images.source, options.calibration(), context);
  } catch (const vbp::Cancelled&) {
    finish_interrupted(options, result);
  }
  return result;
}

void report(const CalibrateOptions& options, const vbp::CalibrationResult& result) {
  vbp::io::AtomicFile out(options.out);
  vbp::save_statistics(out, result);
  const double images_per_second = static_cast<double>(result.images) / result.seconds;
  Json json;
  json["model"] = options.model.file;
  json["data"] = options.data;
  json["out"] = options.out;
  json["moments"] = result.moments();
  json["images"] = result.calibration.images.size();
  json["images_this_run"] = result.images;
  json["images_per_second"] = images_per_second;
  if (const auto use = result.memory_use()) json["memory"] = tool::json_of(*use);
  json["blocks"] = blocks_of(result.calibration);
  report_skipped(result.skipped, json);
  commit(out, options.json, json);
  std::cout << "statistics of " << result.calibration.images.size() << " images in " << printable(options.out)
            << ", " << fixed(images_per_second, 1) << " images/s\n"
            << left_out(count_of(result.skipped));
}

void run(const CalibrateOptions& options) {
  CalibrateInputs inputs = validate(options);
  const RunContext context(options.run);
  const vbp::CalibrationResult result = calibrate(options, std::move(inputs), context);
  context.clear_progress();
  report(options, result);
}

}  // namespace

void add_calibrate(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("calibrate", "gather the statistics of the hidden activations");
  const auto options = std::make_shared<CalibrateOptions>();
  options->model.add_to(command);
  command.add_option("--data", options->data, "folder of images, searched recursively; no labels needed")
      ->required()
      ->check(not_empty)
      ->type_name("DIR");
  command.add_option("--out", options->out, "the calibration file to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  command
      .add_option("--limit", options->limit,
                  "only N images, spread evenly over the sub-folders, the first of each in name order")
      ->check(whole_number(1))
      ->type_name("N");
  CLI::Option* const covariance =
      command.add_flag("--covariance", options->covariance,
                       "keep the covariances too, which refits need: 8 bytes a pair of neurons of a block");
  options->memory.add_to(command)->needs(covariance);
  command.add_flag("--resume", options->resume, "continue with the images that --out has not seen");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
