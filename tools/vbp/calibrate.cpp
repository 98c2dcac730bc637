#include <iostream>
#include <memory>

#include "common.hpp"

namespace tool {

namespace {

struct CalibrateOptions {
  ModelOptions model;
  RunOptions run;
  JsonOption json;
  Room room;
  std::string data;
  std::string out;
  std::optional<vbp::Index> limit;
  bool resume = false;
  bool covariance = false;
};

Json blocks_of(const vbp::io::Calibration& calibration) {
  Json blocks = Json::array();
  for (std::size_t i = 0; i < calibration.names.size(); ++i) {
    blocks.push_back({{"name", calibration.names[i]},
                      {"width", calibration.statistics[i].features()},
                      {"tokens", calibration.statistics[i].count()}});
  }
  return blocks;
}

void run(const CalibrateOptions& options) {
  const std::vector<std::filesystem::path> outputs{options.out, options.json.file};
  require_writable(options.out, options.json.file);
  require_not_read(outputs, files_of(options.model));
  const Checkpoint checkpoint = load(options.model);
  checkpoint.require_complete();
  auto images = vbp::io::find_images(options.data);
  if (options.limit) images = vbp::io::spread(images, *options.limit);
  require_not_read(outputs, paths_of(images));
  const Gather gather{.covariances = options.covariance,
                      .room = {options.room.bytes, folder_of(options.out)}};
  std::optional<CalibrationRun> begun;
  if (options.resume && std::filesystem::exists(options.out)) {
    begun = load_calibration(checkpoint, options.out, gather);
    if (begun->has_covariances() != options.covariance) {
      throw vbp::FileError(options.out, "holds the moments \"" + begun->moments() + "\"; go on " +
                                            (options.covariance ? "without" : "with") + " --covariance");
    }
  }
  const CalibrationRun result =
      calibrate(checkpoint, std::move(images), options.run, gather, std::move(begun));
  if (!result.complete && result.passes > 1) {
    throw Interrupted(
        "interrupted; nothing was written: with this --memory the covariances are gathered in " +
        std::to_string(result.passes) + " passes over the images, and whole after the last");
  }
  if (!result.complete && result.images == 0) throw Interrupted("interrupted; nothing was written");
  vbp::io::AtomicFile out(options.out);
  if (result.stored.empty()) {
    result.calibration.save(out);
  } else {
    result.calibration.save(out, result.stored);
  }
  if (!result.complete) {
    out.commit();
    throw Interrupted("interrupted; " + options.out + " holds the " +
                      std::to_string(result.calibration.images.size()) +
                      " images seen so far, --resume goes on from there");
  }

  Json report;
  report["model"] = options.model.file;
  report["data"] = options.data;
  report["out"] = options.out;
  report["moments"] = result.moments();
  report["images"] = result.calibration.images.size();
  report["images_this_run"] = result.images;
  report["images_per_second"] = static_cast<double>(result.images) / result.seconds;
  if (options.room.bytes) report["memory"] = result.memory();
  report["blocks"] = blocks_of(result.calibration);
  report_failures(result.skipped.failures, report);
  report_duplicates(result.skipped.duplicates, report);
  commit(out, options.json, report);
  std::cout << "statistics of " << result.calibration.images.size() << " images in " << printable(options.out)
            << ", " << fixed(static_cast<double>(result.images) / result.seconds, 1) << " images/s\n"
            << left_out(result.skipped.failures.size() + result.skipped.duplicates.size());
}

struct MergeOptions {
  std::vector<std::string> files;
  std::string out;
  JsonOption json;
};

void merge(const MergeOptions& options) {
  require_writable(options.out, options.json.file);
  require_not_read({options.out, options.json.file}, {options.files.begin(), options.files.end()});
  vbp::io::Calibration merged = vbp::io::Calibration::load(options.files.front());
  for (std::size_t i = 1; i < options.files.size(); ++i) {
    const vbp::io::Calibration other = vbp::io::Calibration::load(options.files[i]);
    try {
      merged.merge(other);
    } catch (const vbp::Error& error) {
      throw vbp::FileError(options.files[i], error.what());
    }
  }
  vbp::io::AtomicFile out(options.out);
  merged.save(out);

  Json report;
  report["files"] = options.files;
  report["out"] = options.out;
  report["images"] = merged.images.size();
  report["blocks"] = blocks_of(merged);
  commit(out, options.json, report);
  std::cout << "statistics of " << merged.images.size() << " images in " << printable(options.out) << '\n';
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
  options->room.add_to(command)->needs(covariance);
  command.add_flag("--resume", options->resume, "go on from the images that --out has seen");
  options->run.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

void add_merge(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("merge", "join calibration files of the same model");
  const auto options = std::make_shared<MergeOptions>();
  command.add_option("STATS", options->files, "calibration files")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  command.add_option("--out", options->out, "the calibration file to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->json.add_to(command);
  command.callback([options] { merge(*options); });
}

}  // namespace tool
