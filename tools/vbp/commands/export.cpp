#include <iostream>
#include <memory>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "report/text.hpp"
#include "write_onnx.hpp"

namespace tool {

namespace {

struct ExportOptions {
  ModelOptions model;
  std::string onnx;
  JsonOption json;
};

vbp::AnyModel validate(const ExportOptions& options) {
  require_writable(options.onnx, options.json.file, "--onnx");
  require_not_read({options.onnx, options.json.file}, vbp::files_of_model(options.model.file));
  vbp::AnyModel model = options.model.load();
  model.require_complete();
  return model;
}

void report(const ExportOptions& options, const vbp::AnyModel& model, vbp::io::AtomicFile& out) {
  const vbp::ModelDescription description = model.description();
  const std::int64_t parameters = model.cost().parameters();
  Json json;
  json["model"] = options.model.file;
  json["onnx"] = options.onnx;
  json["file_bytes"] = out.size();
  json["parameters"] = parameters;
  json["output"] = description.classes > 0 ? "logits" : "features";
  json["outputs"] = description.outputs;
  json["blocks"] = Json::array();
  for (std::size_t i = 0; i < description.blocks.size(); ++i) {
    json["blocks"].push_back({{"name", description.blocks[i]}, {"width", description.hidden_widths[i]}});
  }
  commit(out, options.json, json);
  std::cout << description.family << " of " << scaled(static_cast<double>(parameters)) << " parameters in "
            << printable(options.onnx) << ", " << grouped(static_cast<std::int64_t>(out.size()))
            << " bytes\n";
}

void run(const ExportOptions& options) {
  const vbp::AnyModel model = validate(options);
  vbp::io::AtomicFile out(options.onnx);
  write_onnx(out, model);
  report(options, model, out);
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
