/// Trains a small Vision Transformer on handwritten digits and prunes it at ten rates: by random choice, by
/// magnitude, by variance, by the paper's method (VBP), and by the library's default method. Fine-tunes the
/// models that VBP leaves. Prints and draws accuracy, multiply-accumulates, parameters and measured latency.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <vbp/vbp.hpp>

#include "common/chart.hpp"
#include "digits/data.hpp"
#include "digits/distort.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using Model = vbp::VisionTransformer<float>;

/// The table's columns. The first three only remove neurons; the last one fine-tunes VBP's models.
constexpr std::array<const char*, 6> kMethods{"random", "magnitude", "variance", "VBP", "default", "tuned"};
enum : std::size_t { kRandom, kMagnitude, kVariance, kVbp, kDefault, kTuned };
constexpr int kRandomSeeds = 5;
constexpr Index kTuningEpochs = 5;
constexpr Index kLatencyBatch = 64;
constexpr int kRounds = 41;

struct Options {
  fs::path picture = "digits.svg";
  fs::path folder = VBP_DIGITS_DIR;
  std::uint64_t seed = 1;
  Index epochs = 60;
};

/// 17 tokens of dimension 64 in four blocks: 202,186 parameters, with the weights that training begins with.
Model untrained(std::uint64_t seed) {
  vbp::VitConfig config;
  config.architecture = "vit_digits_patch2_8";
  config.image_size = 8;
  config.patch_size = 2;
  config.channels = 1;
  config.dim = 64;
  config.heads = 4;
  config.hidden_widths = {256, 256, 256, 256};
  config.classes = 10;
  Model model = vbp::initialise_model<Model>(config, seed);
  // The place of a stroke matters as much as the stroke itself. So positions begin with a deviation of 1,
  // which the embedded patches have, instead of 0.02. Training then needs a third of the epochs.
  model.positions *= 50.0F;
  return model;
}

/// Trains for options.epochs, by a teacher unless it is null. On one thread: in a network this small, several
/// threads would wait for each other.
Model train(Model model, const Model* teacher, const Digits& digits, const vbp::TrainingOptions& options) {
  const auto count = static_cast<Index>(digits.labels.size());
  vbp::Trainer<Model> trainer(std::move(model), teacher, options, count, vbp::Context(1));
  for (Index epoch = 0; epoch < options.epochs; ++epoch) {
    vbp::Random random(vbp::derive_seed(options.seed, static_cast<std::uint64_t>(epoch)));
    std::vector<Index> order(digits.labels.size());
    std::iota(order.begin(), order.end(), Index{0});
    random.shuffle(order);
    auto chosen = order.cbegin();
    const auto next = [&](vbp::TrainingBatch& batch) {
      const Index size = std::min(options.batch, static_cast<Index>(order.cend() - chosen));
      batch.images.resize(size, digits.images.cols());
      batch.labels.clear();
      for (Index row = 0; row < size; ++row, ++chosen) {
        distort(digits.images.row(*chosen).data(), random, batch.images.row(row).data());
        batch.labels.push_back(digits.labels[static_cast<std::size_t>(*chosen)]);
      }
      return size > 0;
    };
    vbp::TrainingStep step;
    while (trainer.step(next, step)) {
    }
    trainer.end_epoch();
  }
  return trainer.model();
}

/// The dense network. Its options were chosen with the training digits alone.
Model train_dense(const Digits& digits, const Options& options) {
  return train(untrained(options.seed), nullptr, digits,
               {.epochs = options.epochs,
                .learning_rate = 3e-3,
                .warmup_epochs = static_cast<double>(options.epochs) / 20.0,
                .optimiser = {.weight_decay = 0.05},
                .label_smoothing = 0.05,
                .seed = options.seed});
}

/// Recovers the accuracy of a pruned model in a few epochs, with the dense model as teacher.
Model finetune(const Model& pruned, const Model& dense, const Digits& digits, const Options& options) {
  return train(pruned, &dense, digits,
               {.epochs = std::min(kTuningEpochs, options.epochs),
                .learning_rate = 1e-3,
                .loss = {.cross_entropy = 0.7, .distillation = 0.3},
                .seed = options.seed});
}

/// Top-1 in per cent.
double top1(const Model& model, const Digits& digits, const vbp::Context& context) {
  const auto images = vbp::images_in_memory(digits.images, digits.labels);
  return 100.0 * vbp::evaluate(vbp::AnyModel(model), images, {}, context).top1();
}

/// What the training digits say of the dense network, gathered once for all rates: means and variances of all
/// of them in one batch, covariances, and what the library's default method needs beside them.
vbp::CalibrationResult calibrate(const Model& dense, const Digits& digits) {
  return vbp::calibrate(
      vbp::AnyModel(dense), vbp::images_in_memory(digits.images, digits.labels),
      {.covariances = true, .residual_stream = true, .batch = static_cast<Index>(digits.labels.size())});
}

/// The model as the default method of `vbp prune` leaves it: greedy choice, and a sequential refit.
Model prune_by_default(const Model& dense, const vbp::CalibrationResult& calibration,
                       const vbp::PruneOptions& options, const vbp::Context& context) {
  vbp::AnyModel model(dense);
  vbp::prune(model, calibration, options, context);
  return *model.get_if<Model>();
}

/// The results at one rate.
struct Row {
  int rate = 0;  ///< per cent of the hidden neurons removed
  std::array<double, kMethods.size()> top1{};
  Model pruned;  ///< by VBP
  vbp::Cost cost = {};
  double latency = 0.0;   ///< microseconds an image
  double speed_up = 1.0;  ///< over the dense model
};

/// The model at one rate, by every method.
Row prune(const Model& dense, const vbp::CalibrationResult& calibration, int rate, const Split& digits,
          const Options& how, const vbp::Context& context) {
  const auto& names = calibration.calibration.names;
  const auto& statistics = calibration.calibration.statistics;
  const vbp::PrunerOptions options{.rate = rate / 100.0};
  const auto top1_without_mean_shift = [&](const vbp::Scores& scores) {
    Model pruned = dense;
    vbp::shrink_blocks(vbp::plan_from_scores(names, scores, options), pruned.blocks);
    return top1(pruned, digits.test, context);
  };
  Row row{.rate = rate, .pruned = dense};
  for (std::uint64_t seed = 1; seed <= kRandomSeeds; ++seed) {
    row.top1[kRandom] +=
        top1_without_mean_shift(vbp::random_scores(dense.config.hidden_widths, seed)) / kRandomSeeds;
  }
  row.top1[kMagnitude] = top1_without_mean_shift(vbp::magnitude_scores(dense.blocks));
  row.top1[kVariance] = top1_without_mean_shift(vbp::variance_scores(statistics, names));

  // The paper's method: the plan can be looked at before it is applied; applying it folds the means.
  const vbp::VariancePruner pruner(options);
  const vbp::PruningPlan plan = pruner.plan(names, statistics);
  pruner.apply(plan, statistics, row.pruned.blocks);
  row.cost = vbp::cost_of(vbp::config_of(row.pruned));
  row.top1[kVbp] = row.top1[kDefault] = row.top1[kTuned] = top1(row.pruned, digits.test, context);
  if (rate == 0) return row;
  const Model by_default = prune_by_default(dense, calibration, {.rate = options.rate}, context);
  row.top1[kDefault] = top1(by_default, digits.test, context);
  row.top1[kTuned] = top1(finetune(row.pruned, dense, digits.training, how), digits.test, context);
  return row;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Measures all models in turn, so that a machine whose speed drifts favours none; rows[0] is the dense one.
void measure_latency(std::vector<Row>& rows, const vbp::Matrix<float>& images) {
  using Clock = std::chrono::steady_clock;
  std::vector<vbp::VitInference<float>> models;
  for (const Row& row : rows) models.emplace_back(row.pruned, vbp::Context(1));
  std::vector<std::vector<double>> times(rows.size()), ratios(rows.size());
  // The first round, -1, warms up and is not counted.
  for (int round = -1; round < kRounds; ++round) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto begin = Clock::now();
      models[i](images);
      const std::chrono::duration<double, std::micro> time = Clock::now() - begin;
      if (round < 0) continue;
      times[i].push_back(time.count() / static_cast<double>(images.rows()));
      ratios[i].push_back(times[0].back() / times[i].back());
    }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].latency = median(times[i]);
    rows[i].speed_up = median(ratios[i]);
  }
}

/// 202,186
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

void print(const std::vector<Row>& rows) {
  std::cout
      << "         |                 top-1 on the held-out digits, %                   |\n"
         "         |       neurons removed, no more  |    made up for        trained |     what VBP leaves\n"
         " removed |";
  for (const char* method : kMethods) std::cout << std::setw(11) << method;
  std::cout << " |  parameters       MACs  us/image  speed-up  widths\n" << std::fixed;
  for (const Row& row : rows) {
    std::cout << std::setw(6) << row.rate << " % |" << std::setprecision(2);
    for (const double value : row.top1) std::cout << std::setw(11) << value;
    std::cout << " |" << std::setw(12) << grouped(row.cost.parameters()) << std::setw(11)
              << grouped(row.cost.macs()) << std::setprecision(1) << std::setw(10) << row.latency
              << std::setprecision(2) << std::setw(9) << row.speed_up << "x ";
    for (const auto& block : row.pruned.blocks) std::cout << ' ' << block.hidden();
    std::cout << '\n';
  }
}

chart::Figure draw(const std::vector<Row>& rows, std::size_t test_digits) {
  const auto line = [&](const char* label, const char* colour, chart::Marker marker, auto&& value) {
    chart::Series series{.label = label, .colour = colour, .marker = marker};
    for (const Row& row : rows) series.points.push_back({static_cast<double>(row.rate), value(row)});
    return series;
  };
  const auto top1_of = [](std::size_t method) {
    return [method](const Row& row) { return row.top1[method]; };
  };
  // The share of the dense model's amount, in per cent.
  const auto share = [&](auto&& amount) {
    return [&rows, amount](const Row& row) { return 100.0 * amount(row) / amount(rows.front()); };
  };
  using chart::Marker;
  const chart::Axis rates{.label = "hidden neurons removed, %", .begin = 0, .end = 90, .step = 10};
  double lowest = 100.0;
  for (const Row& row : rows) lowest = std::min(lowest, std::ranges::min(row.top1));
  chart::Panel accuracy{
      .title = "Top-1 on " + std::to_string(test_digits) + " held-out digits",
      .x = rates,
      .y = {.label = "top-1, %",
            .begin = 10.0 * std::floor(lowest / 10.0),
            .end = 100,
            .step = lowest < 80.0 ? 10.0 : 2.0},
      .series = {line("random, mean of 5 seeds", chart::colours::grey, Marker::triangle, top1_of(kRandom)),
                 line("magnitude", chart::colours::green, Marker::square, top1_of(kMagnitude)),
                 line("variance", chart::colours::orange, Marker::diamond, top1_of(kVariance)),
                 line("variance + mean shift (VBP)", chart::colours::blue, Marker::circle, top1_of(kVbp)),
                 line("greedy + sequential refit (default)", chart::colours::vermilion, Marker::triangle,
                      top1_of(kDefault)),
                 line("VBP, fine-tuned", chart::colours::purple, Marker::square, top1_of(kTuned))}};
  accuracy.series[kVbp].width = 3.0;
  chart::Panel cost{
      .title = "Cost, compared with the dense network",
      .x = rates,
      .y = {.label = "% of dense", .begin = 0, .end = 100, .step = 20},
      .series = {line("parameters", chart::colours::purple, Marker::triangle,
                      share([](const Row& row) { return static_cast<double>(row.cost.parameters()); })),
                 line("multiply-accumulates", chart::colours::blue, Marker::circle,
                      share([](const Row& row) { return static_cast<double>(row.cost.macs()); })),
                 line("measured latency", chart::colours::vermilion, Marker::square,
                      [](const Row& row) { return 100.0 / row.speed_up; })}};
  // At a low rate the measured latency can be above the dense model's, by noise.
  for (const chart::Point& p : cost.series.back().points) {
    cost.y.end = std::max(cost.y.end, 20.0 * std::ceil(p.y / 20.0));
  }
  return {
      .title = "Pruning a Vision Transformer of handwritten digits",
      .subtitle =
          "Random, magnitude and variance only remove neurons. Nothing is trained again but the last curve.",
      .panels = {accuracy, cost}};
}

void run(const Options& options) {
  if (!fs::is_directory(fs::absolute(options.picture).parent_path())) {
    throw vbp::FileError(options.picture.string(), "lies in no folder that exists");
  }
  const Split digits = load_digits(options.folder / "digits.bin");
  const auto begin = std::chrono::steady_clock::now();
  const Model dense = train_dense(digits.training, options);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  std::cout << "A Vision Transformer of " << dense.config.depth() << " blocks, trained in " << std::fixed
            << std::setprecision(1) << time.count() << " s and calibrated on "
            << digits.training.labels.size() << " digits, tested on " << digits.test.labels.size()
            << " others.\n\n";

  const vbp::CalibrationResult calibration = calibrate(dense, digits.training);
  std::vector<Row> rows(10);
  // Each rate runs on one thread: the loops inside find the pool busy.
  const vbp::Context context;
  context.pool().parallel_for(static_cast<Index>(rows.size()), [&](Index i) {
    rows[static_cast<std::size_t>(i)] =
        prune(dense, calibration, static_cast<int>(10 * i), digits, options, context);
  });
  measure_latency(rows, digits.test.images.topRows(kLatencyBatch));
  print(rows);

  std::cout << "\nrandom: mean of " << kRandomSeeds << " seeds. default: of `vbp prune`, greedy choice and a "
            << "sequential refit. tuned: VBP's, " << kTuningEpochs << " epochs by the dense network.\n"
            << "us/image: one thread, batches of " << kLatencyBatch << ", median of " << kRounds
            << " runs that alternate between all models. One digit is "
            << 100.0 / static_cast<double>(digits.test.labels.size()) << " points.\n";
  vbp::io::write_file_atomically(options.picture, chart::to_svg(draw(rows, digits.test.labels.size())));
  std::cout << "written: " << options.picture.string() << '\n';
  if (!std::cout.flush()) throw vbp::Error("standard output: cannot be written");
}

constexpr const char* kUsage =
    "usage: digits [--seed N] [--epochs N] [--data FOLDER] [PICTURE]\n"
    "  the seed of everything random (1), epochs of the dense network (60), the folder of digits.bin and "
    "the\n"
    "  SVG to write (digits.svg)\n";

/// False where the arguments are not those of kUsage.
bool parse(const std::vector<std::string>& arguments, Options& options) {
  const auto number = [](const std::string& text, auto& value) {
    const char* const end = text.data() + text.size();
    return std::from_chars(text.data(), end, value) == std::from_chars_result{end, std::errc()};
  };
  bool pictured = false;
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    const std::string& name = *argument;
    if (!name.starts_with("-")) {
      if (std::exchange(pictured, true)) return false;
      options.picture = name;
      continue;
    }
    if (++argument == arguments.end()) return false;
    if (name == "--data") {
      options.folder = *argument;
    } else if (name == "--seed") {
      if (!number(*argument, options.seed)) return false;
    } else if (name != "--epochs" || !number(*argument, options.epochs)) {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse({argv + 1, argv + argc}, options)) {
    std::cerr << kUsage;
    return 1;
  }
  try {
    run(options);
  } catch (const std::exception& error) {
    std::cerr << "digits: " << error.what() << '\n';
    return 1;
  }
}
