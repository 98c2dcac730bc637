#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>

#include "common.hpp"
#include "runner.hpp"
#include "vbp/kernels/peak.hpp"

namespace tool {

namespace {

struct BenchOptions {
  std::vector<std::string> files;
  ModelOptions model;  ///< what is said of every one
  RunOptions run{.batch = 1};
  int repeat = 50;
  JsonOption json;
};

struct Candidate {
  std::string file;
  double macs = 0.0;  ///< of one image
  std::unique_ptr<Runner> runner;
  vbp::Matrix<float> images, outputs;
  std::vector<double> milliseconds;
  vbp::LayerSeconds seconds{};
};

/// All models in turn, with the multiply-adds between them, so that a machine whose speed drifts favours
/// none.
double measure_all(std::vector<Candidate>& candidates, int repeat) {
  double peak = 0.0;
  ProgressBar bar("measuring", "runs");
  for (int run = -1; run < repeat && !interrupted(); ++run) {
    for (Candidate& candidate : candidates) {
      peak = std::max(peak, vbp::kernels::multiply_add_rate<float>(candidate.runner->pool()));
      const auto begin = std::chrono::steady_clock::now();
      candidate.runner->run(candidate.images, candidate.outputs.data());
      const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
      // The first run of each allocates and is no measurement.
      if (run < 0) {
        candidate.seconds = {};
        candidate.runner->record(&candidate.seconds);
      } else {
        candidate.milliseconds.push_back(elapsed.count());
      }
    }
    bar.show(run + 1, repeat);
  }
  if (interrupted()) throw Interrupted("interrupted while measuring");
  return peak;
}

void run(const BenchOptions& options) {
  require_writable({}, options.json.file);
  std::vector<ModelOptions> models;
  for (const std::string& file : options.files) {
    models.push_back(options.model);
    models.back().file = file;
    require_not_read({options.json.file}, files_of(models.back()));
  }
  std::vector<Candidate> candidates;
  for (const ModelOptions& model : models) {
    const Checkpoint checkpoint = load(model);
    checkpoint.require_network();
    const Facts facts = facts_of(checkpoint.model);
    Candidate& candidate = candidates.emplace_back();
    candidate.file = model.file;
    candidate.macs = static_cast<double>(cost_of(checkpoint.model).macs());
    candidate.runner = make_runner(checkpoint.model, options.run.threads);
    candidate.images = random_images(options.run.batch, facts.image_elements);
    candidate.outputs.resize(options.run.batch, facts.outputs);
  }
  const double peak = measure_all(candidates, options.repeat);

  Json report;
  report["architecture"] = vbp::kernels::table<float>().architecture;
  report["threads"] = candidates.front().runner->pool().size();
  report["batch"] = options.run.batch;
  report["runs"] = options.repeat;
  report["peak_gflops"] = peak * 1e-9;
  report["models"] = Json::array();
  Table table({"model", "MACs", "min ms", "median ms", "p95 ms", "images/s", "GFLOP/s", "of peak"});
  // The kinds that a model has are those that took time.
  const auto has = [&](std::size_t kind) {
    return std::any_of(candidates.begin(), candidates.end(),
                       [=](const Candidate& candidate) { return candidate.seconds[kind] > 0.0; });
  };
  std::vector<std::string> header = {"share of the time"};
  for (std::size_t kind = 0; kind < vbp::kLayerKindNames.size(); ++kind) {
    if (has(kind)) header.emplace_back(vbp::kLayerKindNames[kind]);
  }
  Table share_table(header);
  const double batch = static_cast<double>(options.run.batch);
  for (Candidate& candidate : candidates) {
    std::vector<double>& times = candidate.milliseconds;
    const Latency latency = latency_of(times);
    const double p95 = times[static_cast<std::size_t>(0.95 * static_cast<double>(times.size() - 1) + 0.5)];
    const double images_per_second = batch / (latency.median * 1e-3);
    const double rate = 2.0 * candidate.macs * images_per_second;
    Json latencies = latency.json();
    latencies["p95"] = p95;
    const double in_all = std::accumulate(candidate.seconds.begin(), candidate.seconds.end(), 0.0);
    Json shares;
    std::vector<std::string> share_row = {candidate.file};
    for (std::size_t kind = 0; kind < candidate.seconds.size(); ++kind) {
      const double share = candidate.seconds[kind] / in_all;
      if (share > 0.0) shares[vbp::kLayerKindNames[kind]] = share;
      if (has(kind)) share_row.push_back(share > 0.0 ? fixed(100.0 * share, 1) + " %" : "-");
    }
    share_table.add(share_row);
    report["models"].push_back({{"file", candidate.file},
                                {"macs", candidate.macs},
                                {"latency_ms", latencies},
                                {"images_per_second", images_per_second},
                                {"gflops", rate * 1e-9},
                                {"percent_of_peak", 100.0 * rate / peak},
                                {"share_of_time", shares}});
    table.add({candidate.file, scaled(candidate.macs), fixed(latency.minimum, 2), fixed(latency.median, 2),
               fixed(p95, 2), fixed(images_per_second, 1), fixed(rate * 1e-9, 1),
               fixed(100.0 * rate / peak, 1) + " %"});
  }
  options.json.write(report);

  std::cout << "kernels for " << vbp::kernels::table<float>().architecture << ", "
            << candidates.front().runner->pool().size() << " threads, batches of " << options.run.batch
            << ", " << options.repeat << " runs in turn; multiply-adds alone reach " << fixed(peak * 1e-9, 1)
            << " GFLOP/s\n\n";
  table.print();
  std::cout << '\n';
  share_table.print();
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
  options->model.add_settings_to(command);
  options->run.add_size_to(command);
  command.add_option("--repeat", options->repeat, "runs of each model, in turn with the others'")
      ->check(whole_number(1, 1000000))
      ->capture_default_str()
      ->type_name("N");
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
