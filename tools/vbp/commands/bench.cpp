#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>
#include <memory>
#include <numeric>

#include "commands/commands.hpp"
#include "options/common.hpp"
#include "options/files.hpp"
#include "report/images.hpp"
#include "report/terminal.hpp"
#include "report/text.hpp"
#include "vbp/kernels/entry.hpp"
#include "vbp/kernels/peak.hpp"
#include "vbp/pipeline/inference.hpp"
#include "vbp/pipeline/latency.hpp"

namespace tool {

namespace {

struct BenchOptions {
  std::vector<std::string> files;
  ModelSettings settings;  ///< of every model
  RunOptions run{.batch = 1};
  int repeat = 50;
  JsonOption json;
};

struct Candidate {
  std::string file;
  double macs = 0.0;  ///< of one image
  std::unique_ptr<vbp::AnyInference> inference;
  vbp::Matrix<float> images, outputs;
  std::vector<double> milliseconds;
  vbp::LayerSeconds seconds{};
};

/// What is reported of one model.
struct Speed {
  vbp::Latency latency;
  double p95 = 0.0;
  double images_per_second = 0.0;
  double operations_per_second = 0.0;
};

void validate(const BenchOptions& options) {
  require_writable({}, options.json.file);
  for (const std::string& file : options.files) {
    require_not_read({options.json.file}, vbp::files_of_model(file));
  }
}

std::vector<Candidate> load_candidates(const BenchOptions& options, const vbp::Context& context) {
  std::vector<Candidate> candidates;
  for (const std::string& file : options.files) {
    const vbp::AnyModel model = options.settings.load(file);
    model.require_network();
    const vbp::ModelDescription description = model.description();
    Candidate& candidate = candidates.emplace_back();
    candidate.file = file;
    candidate.macs = static_cast<double>(model.cost().macs());
    candidate.inference = vbp::make_inference(model, context);
    candidate.images = vbp::random_images(options.run.batch, description.image_elements);
    candidate.outputs.resize(options.run.batch, description.outputs);
  }
  return candidates;
}

/// One run of a candidate. The first one, -1, allocates and does not count.
void measure_once(Candidate& candidate, int run) {
  const auto begin = std::chrono::steady_clock::now();
  candidate.inference->run(candidate.images, candidate.outputs);
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
  if (run < 0) {
    candidate.seconds = {};
    candidate.inference->record(&candidate.seconds);
  } else {
    candidate.milliseconds.push_back(elapsed.count());
  }
}

/// Runs all models in turn, with the multiply-adds between them, so that a machine whose speed drifts favours
/// none. Returns the highest rate of multiply-adds.
double measure_all(std::vector<Candidate>& candidates, int repeat, const vbp::Context& context) {
  double peak = 0.0;
  for (int run = -1; run < repeat; ++run) {
    if (context.cancelled()) throw Interrupted("interrupted while measuring");
    for (Candidate& candidate : candidates) {
      peak = std::max(peak, vbp::kernels::multiply_add_rate<float>(context.pool()));
      measure_once(candidate, run);
    }
    context.report({.task = "measuring", .unit = "runs", .done = run + 1, .total = repeat});
  }
  return peak;
}

Speed speed_of(Candidate& candidate, vbp::Index batch) {
  Speed speed{.latency = vbp::latency_of(candidate.milliseconds)};
  const std::vector<double>& times = candidate.milliseconds;
  speed.p95 = times[static_cast<std::size_t>(0.95 * static_cast<double>(times.size() - 1) + 0.5)];
  speed.images_per_second = static_cast<double>(batch) / (speed.latency.median * 1e-3);
  speed.operations_per_second = 2.0 * candidate.macs * speed.images_per_second;
  return speed;
}

/// The share of the time that each kind of layer took; 0 for kinds that the model does not have.
vbp::LayerSeconds shares_of(const Candidate& candidate) {
  vbp::LayerSeconds shares = candidate.seconds;
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= sum;
  return shares;
}

Json json_of(const Candidate& candidate, const Speed& speed, double peak) {
  Json latencies = tool::json_of(speed.latency);
  latencies["p95"] = speed.p95;
  Json shares;
  const vbp::LayerSeconds values = shares_of(candidate);
  for (std::size_t kind = 0; kind < values.size(); ++kind) {
    if (values[kind] > 0.0) shares[vbp::kLayerKindNames[kind]] = values[kind];
  }
  return {{"file", candidate.file},
          {"macs", candidate.macs},
          {"latency_ms", latencies},
          {"images_per_second", speed.images_per_second},
          {"gflops", speed.operations_per_second * 1e-9},
          {"percent_of_peak", 100.0 * speed.operations_per_second / peak},
          {"share_of_time", shares}};
}

/// One row a model, one column a kind of layer that at least one of them has.
void print_shares(const std::vector<Candidate>& candidates) {
  std::vector<std::size_t> kinds;
  std::vector<std::string> header = {"share of the time"};
  for (std::size_t kind = 0; kind < vbp::kLayerKindNames.size(); ++kind) {
    const bool used = std::any_of(candidates.begin(), candidates.end(),
                                  [=](const Candidate& candidate) { return candidate.seconds[kind] > 0.0; });
    if (!used) continue;
    kinds.push_back(kind);
    header.emplace_back(vbp::kLayerKindNames[kind]);
  }
  Table table(header);
  for (const Candidate& candidate : candidates) {
    const vbp::LayerSeconds shares = shares_of(candidate);
    std::vector<std::string> row = {candidate.file};
    for (const std::size_t kind : kinds) {
      row.push_back(shares[kind] > 0.0 ? fixed(100.0 * shares[kind], 1) + " %" : "-");
    }
    table.add(row);
  }
  table.print();
}

void report(const BenchOptions& options, std::vector<Candidate>& candidates, double peak, int threads) {
  const std::string architecture = vbp::kernels::architecture().name;
  Json json;
  json["architecture"] = architecture;
  json["threads"] = threads;
  json["batch"] = options.run.batch;
  json["runs"] = options.repeat;
  json["peak_gflops"] = peak * 1e-9;
  json["models"] = Json::array();
  Table table({"model", "MACs", "min ms", "median ms", "p95 ms", "images/s", "GFLOP/s", "of peak"});
  for (Candidate& candidate : candidates) {
    const Speed speed = speed_of(candidate, options.run.batch);
    json["models"].push_back(json_of(candidate, speed, peak));
    table.add({candidate.file, scaled(candidate.macs), fixed(speed.latency.minimum, 2),
               fixed(speed.latency.median, 2), fixed(speed.p95, 2), fixed(speed.images_per_second, 1),
               fixed(speed.operations_per_second * 1e-9, 1),
               fixed(100.0 * speed.operations_per_second / peak, 1) + " %"});
  }
  options.json.write(json);
  std::cout << "kernels for " << architecture << ", " << threads << " threads, batches of "
            << options.run.batch << ", " << options.repeat << " runs in turn; multiply-adds alone reach "
            << fixed(peak * 1e-9, 1) << " GFLOP/s\n\n";
  table.print();
  std::cout << '\n';
  print_shares(candidates);
}

void run(const BenchOptions& options) {
  validate(options);
  const RunContext context(options.run);
  std::vector<Candidate> candidates = load_candidates(options, context);
  const double peak = measure_all(candidates, options.repeat, context);
  context.clear_progress();
  report(options, candidates, peak, context->threads());
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("bench", "how fast models run on this machine, measured in turn");
  const auto options = std::make_shared<BenchOptions>();
  command
      .add_option("MODEL", options->files,
                  "models, .safetensors files with timm's or Hugging Face's tensor names")
      ->required()
      ->check(not_empty)
      ->type_name("FILE");
  options->settings.add_to(command);
  options->run.add_size_to(command);
  command.add_option("--repeat", options->repeat, "runs of each model, in turn with the others'")
      ->check(whole_number(1, 1000000))
      ->capture_default_str()
      ->type_name("N");
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
