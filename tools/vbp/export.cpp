#include <iostream>
#include <memory>

#include "common.hpp"

namespace tool {

namespace {

struct ExportOptions {
  ModelOptions model;
  std::string onnx;
  JsonOption json;
};

void run(const ExportOptions& options) {
  require_writable(options.onnx, options.json.file, "--onnx");
  require_not_read({options.onnx, options.json.file}, files_of(options.model));
  const Checkpoint checkpoint = load(options.model);
  checkpoint.require_complete();
  vbp::io::AtomicFile out(options.onnx);
  export_checkpoint(out, checkpoint);

  const Facts facts = facts_of(checkpoint.model);
  const std::int64_t parameters = cost_of(checkpoint.model).parameters();
  Json report;
  report["model"] = options.model.file;
  report["onnx"] = options.onnx;
  report["file_bytes"] = out.size();
  report["parameters"] = parameters;
  report["output"] = facts.classes > 0 ? "logits" : "features";
  report["outputs"] = facts.outputs;
  report["blocks"] = Json::array();
  for (std::size_t i = 0; i < facts.blocks.size(); ++i) {
    report["blocks"].push_back({{"name", facts.blocks[i]}, {"width", facts.hidden_widths[i]}});
  }
  commit(out, options.json, report);
  std::cout << facts.family << " of " << scaled(static_cast<double>(parameters)) << " parameters in "
            << printable(options.onnx) << ", " << grouped(static_cast<std::int64_t>(out.size()))
            << " bytes\n";
}

}  // namespace

void add_export(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("export", "write a model as an ONNX file, for other runtimes");
  const auto options = std::make_shared<ExportOptions>();
  options->model.add_to(command);
  command.add_option("--onnx", options->onnx, "the ONNX file to write")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
