#include <iostream>
#include <memory>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "report/statistics.hpp"
#include "report/text.hpp"
#include "vbp/io/calibration_file.hpp"

namespace tool {

namespace {

struct MergeOptions {
  std::vector<std::string> files;
  std::string out;
  JsonOption json;
};

void validate(const MergeOptions& options) {
  require_writable(options.out, options.json.file);
  require_not_read({options.out, options.json.file}, {options.files.begin(), options.files.end()});
}

vbp::io::Calibration merge(const std::vector<std::string>& files) {
  vbp::io::Calibration merged = vbp::io::Calibration::load(files.front());
  for (std::size_t i = 1; i < files.size(); ++i) {
    const vbp::io::Calibration other = vbp::io::Calibration::load(files[i]);
    vbp::with_file(files[i], [&] { merged.merge(other); });
  }
  return merged;
}

void report(const MergeOptions& options, const vbp::io::Calibration& merged) {
  vbp::io::AtomicFile out(options.out);
  merged.save(out);
  Json json;
  json["files"] = options.files;
  json["out"] = options.out;
  json["images"] = merged.images.size();
  json["blocks"] = blocks_of(merged);
  commit(out, options.json, json);
  std::cout << "statistics of " << merged.images.size() << " images in " << printable(options.out) << '\n';
}

void run(const MergeOptions& options) {
  validate(options);
  report(options, merge(options.files));
}

}  // namespace

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
  command.callback([options] { run(*options); });
}

}  // namespace tool
