#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>

#include "common.hpp"
#include "vbp/core/random.hpp"
#include "vbp/kernels/peak.hpp"
#include "vbp/vit/cost.hpp"
#include "vbp/vit/inference.hpp"

namespace tool {

namespace {

struct BenchOptions {
  std::vector<std::string> files;
  std::vector<std::string> settings;
  std::optional<vbp::Index> image_size;
  int threads = 0;
  vbp::Index batch = 1;
  int repeat = 50;
  JsonOption json;
};

struct Candidate {
  std::string file;
  double macs = 0.0;  ///< of one image
  std::unique_ptr<vbp::Inference<float>> inference;
  vbp::Matrix<float> images, outputs;
  std::vector<double> milliseconds;
  vbp::LayerSeconds seconds{};
};

double quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

/// All models in turn, with the multiply-adds between them, so that a machine whose speed drifts favours
/// none.
double measure_all(std::vector<Candidate>& candidates, int repeat) {
  double peak = 0.0;
  ProgressBar bar("measuring");
  for (int run = -1; run < repeat && !interrupted(); ++run) {
    for (Candidate& candidate : candidates) {
      peak = std::max(peak, vbp::kernels::multiply_add_rate<float>(candidate.inference->pool()));
      const auto begin = std::chrono::steady_clock::now();
      candidate.inference->run(candidate.images, candidate.outputs.data());
      const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
      // The first run of each allocates and is no measurement.
      if (run < 0) {
        candidate.seconds = {};
        candidate.inference->record(&candidate.seconds);
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
  std::vector<Candidate> candidates;
  for (const std::string& file : options.files) {
    const vbp::VitCheckpoint checkpoint =
        load({.file = file, .settings = options.settings, .image_size = options.image_size});
    checkpoint.require_complete();
    const vbp::VitConfig& config = checkpoint.model.config;
    Candidate& candidate = candidates.emplace_back();
    candidate.file = file;
    candidate.macs = static_cast<double>(vbp::vit_cost(config).macs());
    candidate.inference = std::make_unique<vbp::Inference<float>>(
        checkpoint.model, vbp::InferenceOptions{.threads = options.threads});
    // What the pixels are changes no time.
    vbp::Random random(1);
    candidate.images.resize(options.batch, config.image_elements());
    for (vbp::Index i = 0; i < candidate.images.size(); ++i) {
      candidate.images.data()[i] = static_cast<float>(2.0 * random.uniform() - 1.0);
    }
    candidate.outputs.resize(options.batch, config.outputs());
  }
  const double peak = measure_all(candidates, options.repeat);

  Json report;
  report["architecture"] = vbp::kernels::table<float>().architecture;
  report["threads"] = candidates.front().inference->pool().size();
  report["batch"] = options.batch;
  report["runs"] = options.repeat;
  report["peak_gflops"] = peak * 1e-9;
  report["models"] = Json::array();
  Table table({"model", "MACs", "min ms", "median ms", "p95 ms", "images/s", "GFLOP/s", "of peak"});
  for (Candidate& candidate : candidates) {
    std::sort(candidate.milliseconds.begin(), candidate.milliseconds.end());
    const double median = quantile(candidate.milliseconds, 0.5);
    const double batch = static_cast<double>(options.batch);
    const double rate = 2.0 * candidate.macs * batch / (median * 1e-3);
    const double in_all = std::accumulate(candidate.seconds.begin(), candidate.seconds.end(), 0.0);
    Json shares;
    for (std::size_t kind = 0; kind < candidate.seconds.size(); ++kind) {
      shares[vbp::kLayerKindNames[kind]] = candidate.seconds[kind] / in_all;
    }
    report["models"].push_back({{"file", candidate.file},
                                {"macs", candidate.macs},
                                {"latency_ms",
                                 {{"min", candidate.milliseconds.front()},
                                  {"median", median},
                                  {"p95", quantile(candidate.milliseconds, 0.95)}}},
                                {"images_per_second", batch / (median * 1e-3)},
                                {"gflops", rate * 1e-9},
                                {"percent_of_peak", 100.0 * rate / peak},
                                {"share_of_time", shares}});
    table.add({candidate.file, scaled(candidate.macs), fixed(candidate.milliseconds.front(), 2),
               fixed(median, 2), fixed(quantile(candidate.milliseconds, 0.95), 2),
               fixed(batch / (median * 1e-3), 1), fixed(rate * 1e-9, 1),
               fixed(100.0 * rate / peak, 1) + " %"});
  }
  options.json.write(report);

  std::cout << "kernels for " << vbp::kernels::table<float>().architecture << ", "
            << candidates.front().inference->pool().size() << " threads, batches of " << options.batch << ", "
            << options.repeat << " runs in turn; multiply-adds alone reach " << fixed(peak * 1e-9, 1)
            << " GFLOP/s\n\n";
  table.print();
  std::vector<std::string> header = {"share of the time"};
  header.insert(header.end(), vbp::kLayerKindNames.begin(), vbp::kLayerKindNames.end());
  Table shares(header);
  for (const Candidate& candidate : candidates) {
    const double in_all = std::accumulate(candidate.seconds.begin(), candidate.seconds.end(), 0.0);
    std::vector<std::string> row = {candidate.file};
    for (const double seconds : candidate.seconds) row.push_back(fixed(100.0 * seconds / in_all, 1) + " %");
    shares.add(row);
  }
  std::cout << '\n';
  shares.print();
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
  command
      .add_option(
          "--set", options->settings,
          "a configuration value of every model, before all that the files say; vbp info lists the keys")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      .add_option("--image-size", options->image_size,
                  "run at another image size: positions are interpolated")
      ->check(whole_number(1))
      ->type_name("N");
  command.add_option("--threads", options->threads, "threads, at most 1024; default: one a hardware thread")
      ->check(whole_number(1, 1024))
      ->type_name("N");
  command.add_option("--batch", options->batch, "images that go through a model together, at most 65536")
      ->check(whole_number(1, 65536))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--repeat", options->repeat, "runs of each model, in turn with the others'")
      ->check(whole_number(1, 1000000))
      ->capture_default_str()
      ->type_name("N");
  options->json.add_to(command);
  command.callback([options] { run(*options); });
}

}  // namespace tool
