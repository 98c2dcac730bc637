#include <iostream>
#include <memory>
#include <numeric>
#include <utility>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "report/text.hpp"

namespace tool {

namespace {

struct InfoOptions {
  ModelOptions model;
  JsonOption json;
};

/// A text cut to what people read, at a whole character if it is UTF-8: a model may have a thousand class
/// names.
std::string shortened(const std::string& text) {
  constexpr std::size_t longest = 60;
  if (text.size() <= longest) return text;
  std::size_t end = longest;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

/// Parameters and MACs of a stage's layers, the down-sampling before it included.
std::pair<std::int64_t, std::int64_t> cost_of_stage(const vbp::Stage& stage, const vbp::Cost& cost) {
  std::int64_t parameters = 0, macs = 0;
  for (const vbp::LayerCost& layer : cost.layers) {
    if (!layer.name.starts_with(stage.name + ".")) continue;
    parameters += layer.parameters;
    macs += layer.macs;
  }
  return {parameters, macs};
}

void validate(const InfoOptions& options) {
  require_writable({}, options.json.file);
  require_not_read({options.json.file}, vbp::files_of_model(options.model.file));
}

Json stages_json(const vbp::ModelDescription& description, const vbp::Cost& cost) {
  Json stages = Json::array();
  for (const vbp::Stage& stage : description.stages) {
    const auto [parameters, macs] = cost_of_stage(stage, cost);
    stages.push_back({{"name", stage.name},
                      {"side", stage.side},
                      {"dim", stage.dim},
                      {"blocks", stage.blocks},
                      {"parameters", parameters},
                      {"macs", macs}});
  }
  return stages;
}

Json json_of(const std::string& file, const vbp::AnyModel& model, const vbp::ModelDescription& description,
             const vbp::Cost& cost) {
  Json json;
  json["model"] = file;
  json["family"] = description.family;
  json["architecture"] = description.architecture;
  json["parameters"] = cost.parameters();
  json["macs"] = cost.macs();
  json["macs_fvcore"] = cost.macs_fvcore();
  json["blocks"] = Json::array();
  for (std::size_t i = 0; i < description.blocks.size(); ++i) {
    json["blocks"].push_back({{"name", description.blocks[i]}, {"width", description.hidden_widths[i]}});
  }
  json["stages"] = stages_json(description, cost);
  json["layers"] = Json::array();
  for (const vbp::LayerCost& layer : cost.layers) {
    json["layers"].push_back(
        {{"name", layer.name}, {"kind", layer.kind}, {"parameters", layer.parameters}, {"macs", layer.macs}});
  }
  json["values"] = Json::array();
  for (const vbp::ConfigValue& value : model.values()) {
    json["values"].push_back({{"key", value.key}, {"value", value.value}, {"origin", value.origin}});
  }
  json["unresolved"] = model.unresolved();
  json["ignored"] = model.ignored();
  return json;
}

void print_values(const vbp::AnyModel& model) {
  Table values({"setting", "value", "origin"}, 3);
  for (const vbp::ConfigValue& value : model.values()) {
    values.add({value.key, shortened(value.value), value.origin});
  }
  for (const std::string& key : model.unresolved()) {
    values.add({key, "?", "unknown: needed to run, --set " + key + "=..."});
  }
  values.print();
  for (const std::string& name : model.ignored()) std::cout << "not used: " << printable(name) << '\n';
}

void print_layers(const vbp::Cost& cost) {
  Table layers({"layer", "kind", "parameters", "MACs"}, 2);
  for (const vbp::LayerCost& layer : cost.layers) {
    layers.add({layer.name, layer.kind, grouped(layer.parameters), grouped(layer.macs)});
  }
  layers.add({"in all", "", grouped(cost.parameters()), grouped(cost.macs())});
  layers.print();
}

void print_stages(const vbp::ModelDescription& description, const vbp::Cost& cost) {
  Table stages({"stage", "map", "dim", "blocks", "hidden neurons", "parameters", "MACs"});
  for (const vbp::Stage& stage : description.stages) {
    const auto first = description.hidden_widths.begin() + stage.first_block;
    const auto [parameters, macs] = cost_of_stage(stage, cost);
    const std::string side = std::to_string(stage.side);
    stages.add({stage.name, side + " x " + side, std::to_string(stage.dim), std::to_string(stage.blocks),
                grouped(std::accumulate(first, first + stage.blocks, vbp::Index{0})), grouped(parameters),
                grouped(macs)});
  }
  stages.print();
}

void report(const InfoOptions& options, const vbp::AnyModel& model) {
  const vbp::ModelDescription description = model.description();
  const vbp::Cost cost = model.cost();
  options.json.write(json_of(options.model.file, model, description, cost));

  const std::string kind = description.architecture.empty() ? description.family : description.architecture;
  std::cout << printable(options.model.file + ": " + kind) << "\n\n";
  print_values(model);
  std::cout << '\n';
  print_layers(cost);
  if (!description.stages.empty()) {
    std::cout << '\n';
    print_stages(description, cost);
  }
  std::cout << "\nhidden widths:";
  for (const vbp::Index width : description.hidden_widths) std::cout << ' ' << width;
  std::cout << "\nparameters: " << scaled(static_cast<double>(cost.parameters()))
            << ", MACs an image: " << scaled(static_cast<double>(cost.macs())) << " ("
            << scaled(static_cast<double>(cost.macs_fvcore())) << " as fvcore counts)\n";
}

void run(const InfoOptions& options) {
  validate(options);
  report(options, options.model.load());
}

}  // namespace

void add_info(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("info", "what a model is: configuration and its origin, widths, costs");
  const auto options = std::make_shared<InfoOptions>();
  options->model.add_to(command);
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
