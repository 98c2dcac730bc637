#include <iostream>
#include <memory>
#include <numeric>
#include <utility>

#include "common.hpp"

namespace tool {

namespace {

struct InfoOptions {
  ModelOptions model;
  JsonOption json;
};

/// A thousand class names are not for people; whole characters, where the text is UTF-8.
std::string shortened(const std::string& text) {
  constexpr std::size_t longest = 60;
  if (text.size() <= longest) return text;
  std::size_t end = longest;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

/// Parameters and MACs of a stage's layers, the down-sampling before it included.
std::pair<std::int64_t, std::int64_t> cost_of_stage(const Stage& stage, const vbp::Cost& cost) {
  std::int64_t parameters = 0, macs = 0;
  for (const vbp::LayerCost& layer : cost.layers) {
    if (!layer.name.starts_with(stage.name + ".")) continue;
    parameters += layer.parameters;
    macs += layer.macs;
  }
  return {parameters, macs};
}

void run(const InfoOptions& options) {
  require_writable({}, options.json.file);
  require_not_read({options.json.file}, files_of(options.model));
  const Checkpoint checkpoint = load(options.model);
  const Facts facts = facts_of(checkpoint.model);
  const vbp::Cost cost = cost_of(checkpoint.model);

  Json report;
  report["model"] = options.model.file;
  report["family"] = facts.family;
  report["architecture"] = facts.architecture;
  report["parameters"] = cost.parameters();
  report["macs"] = cost.macs();
  report["macs_fvcore"] = cost.macs_fvcore();
  report["blocks"] = Json::array();
  for (std::size_t i = 0; i < facts.blocks.size(); ++i) {
    report["blocks"].push_back({{"name", facts.blocks[i]}, {"width", facts.hidden_widths[i]}});
  }
  report["stages"] = Json::array();
  for (const Stage& stage : facts.stages) {
    const auto [parameters, macs] = cost_of_stage(stage, cost);
    report["stages"].push_back({{"name", stage.name},
                                {"side", stage.side},
                                {"dim", stage.dim},
                                {"blocks", stage.blocks},
                                {"parameters", parameters},
                                {"macs", macs}});
  }
  report["layers"] = Json::array();
  for (const vbp::LayerCost& layer : cost.layers) {
    report["layers"].push_back(
        {{"name", layer.name}, {"kind", layer.kind}, {"parameters", layer.parameters}, {"macs", layer.macs}});
  }
  report["values"] = Json::array();
  for (const vbp::ConfigValue& value : checkpoint.values) {
    report["values"].push_back({{"key", value.key}, {"value", value.value}, {"origin", value.origin}});
  }
  report["unresolved"] = checkpoint.unresolved;
  report["ignored"] = checkpoint.ignored;
  options.json.write(report);

  const std::string kind = facts.architecture.empty() ? facts.family : facts.architecture;
  std::cout << printable(options.model.file + ": " + kind) << "\n\n";
  Table values({"setting", "value", "origin"}, 3);
  for (const vbp::ConfigValue& value : checkpoint.values)
    values.add({value.key, shortened(value.value), value.origin});
  for (const std::string& key : checkpoint.unresolved)
    values.add({key, "?", "unknown: needed to run, --set " + key + "=..."});
  values.print();
  for (const std::string& name : checkpoint.ignored) std::cout << "not used: " << printable(name) << '\n';
  std::cout << '\n';
  Table layers({"layer", "kind", "parameters", "MACs"}, 2);
  for (const vbp::LayerCost& layer : cost.layers) {
    layers.add({layer.name, layer.kind, grouped(layer.parameters), grouped(layer.macs)});
  }
  layers.add({"in all", "", grouped(cost.parameters()), grouped(cost.macs())});
  layers.print();
  if (!facts.stages.empty()) {
    std::cout << '\n';
    Table stages({"stage", "map", "dim", "blocks", "hidden neurons", "parameters", "MACs"});
    for (const Stage& stage : facts.stages) {
      const auto first = facts.hidden_widths.begin() + stage.first_block;
      const auto [parameters, macs] = cost_of_stage(stage, cost);
      const std::string side = std::to_string(stage.side);
      stages.add({stage.name, side + " x " + side, std::to_string(stage.dim), std::to_string(stage.blocks),
                  grouped(std::accumulate(first, first + stage.blocks, vbp::Index{0})), grouped(parameters),
                  grouped(macs)});
    }
    stages.print();
  }
  std::cout << "\nhidden widths:";
  for (const vbp::Index width : facts.hidden_widths) std::cout << ' ' << width;
  std::cout << "\nparameters: " << scaled(static_cast<double>(cost.parameters()))
            << ", MACs an image: " << scaled(static_cast<double>(cost.macs())) << " ("
            << scaled(static_cast<double>(cost.macs_fvcore())) << " as fvcore counts)\n";
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
