/// Trains a small Vision Transformer of handwritten digits, prunes it at nine rates by four criteria,
/// fine-tunes what the last one leaves, and prints and draws what remains: accuracy, multiply-accumulates,
/// parameters, measured latency.
///
/// digits [PICTURE [FOLDER]]: the SVG to write (digits.svg) and where digits.bin is.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
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

/// The criteria, in the order of the table's columns. All but the last only remove.
constexpr std::array<const char*, 4> kCriteria{"random", "magnitude", "variance", "VBP"};
enum : std::size_t { kRandom, kMagnitude, kVariance, kVbp };
constexpr int kRandomSeeds = 5;
constexpr Index kLatencyBatch = 64;
constexpr int kRounds = 41;

vbp::VitConfig network() {
  vbp::VitConfig config;
  config.architecture = "vit_digits_patch2_8";
  config.image_size = 8;
  config.patch_size = 2;
  config.channels = 1;
  config.dim = 64;
  config.heads = 4;
  config.hidden_widths = {256, 256, 256, 256};
  config.classes = 10;
  return config;
}

/// Trains for the whole of options.epochs, by the teacher where there is one. The held-out digits choose
/// nothing.
Model train(Model model, const Model* teacher, const Digits& digits, const vbp::TrainingOptions& options) {
  const auto count = static_cast<Index>(digits.labels.size());
  vbp::Trainer trainer(std::move(model), teacher, options, count);
  for (Index epoch = 0; epoch < options.epochs; ++epoch) {
    vbp::Random random(vbp::derive_seed(options.seed, static_cast<std::uint64_t>(epoch)));
    std::vector<Index> order(digits.labels.size());
    std::iota(order.begin(), order.end(), Index{0});
    random.shuffle(order);
    Index taken = 0;
    const auto next = [&](vbp::TrainingBatch& batch) {
      const Index size = std::min(options.batch, count - taken);
      batch.images.resize(size, digits.images.cols());
      batch.labels.clear();
      for (Index row = 0; row < size; ++row) {
        const Index chosen = order[static_cast<std::size_t>(taken++)];
        distort(digits.images.row(chosen).data(), random, batch.images.row(row).data());
        batch.labels.push_back(digits.labels[static_cast<std::size_t>(chosen)]);
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

/// Brings the accuracy of a pruned model back in a few epochs; the dense model is its teacher.
Model finetune(const Model& pruned, const Model& dense, const Digits& digits) {
  return train(pruned, &dense, digits,
               {.epochs = 8,
                .learning_rate = 5e-4,
                .warmup_epochs = 1.0,
                .loss = {.cross_entropy = 0.5, .distillation = 0.5}});
}

/// Top-1 in per cent.
double top1(const Model& model, const Digits& digits) {
  vbp::Inference<float> inference(model);
  const vbp::Matrix<float> logits = inference(digits.images);
  Index correct = 0;
  for (Index i = 0; i < logits.rows(); ++i) {
    Index best = 0;
    logits.row(i).maxCoeff(&best);
    if (best == digits.labels[static_cast<std::size_t>(i)]) ++correct;
  }
  return 100.0 * static_cast<double>(correct) / static_cast<double>(logits.rows());
}

/// What pruning at one rate leaves.
struct Row {
  int rate = 0;                  ///< per cent of the hidden neurons removed
  std::array<double, 4> top1{};  ///< by criterion
  double tuned = 0.0;            ///< top-1 of VBP's, fine-tuned
  Model pruned;                  ///< by VBP
  vbp::Cost cost = {};
  double latency = 0.0;   ///< microseconds an image
  double speed_up = 1.0;  ///< over the dense model
};

/// The model at one rate, by every criterion.
Row prune(const Model& dense, const std::vector<vbp::Statistics<double>>& statistics, int rate,
          const Split& digits) {
  const Digits& test = digits.test;
  const auto names = vbp::block_names(dense.config);
  const vbp::PrunerOptions options{.rate = rate / 100.0};
  const auto top1_without_mean_shift = [&](const vbp::Scores& scores) {
    Model pruned = dense;
    vbp::shrink_blocks(vbp::plan_from_scores(names, scores, options), pruned.blocks);
    pruned.update_widths();
    return top1(pruned, test);
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
  row.pruned.update_widths();
  row.top1[kVbp] = top1(row.pruned, test);
  row.tuned = rate == 0 ? row.top1[kVbp] : top1(finetune(row.pruned, dense, digits.calibration), test);
  row.cost = vbp::vit_cost(row.pruned.config);
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
  std::deque<vbp::Inference<float>> models;  // they cannot be moved
  for (const Row& row : rows) models.emplace_back(row.pruned, vbp::InferenceOptions{.threads = 1});
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
  std::cout << "         |               top-1 on the test digits, %              |\n"
               "         |         without mean shift      |   with it  and tuned   |     what VBP leaves\n"
               " removed |";
  for (const char* criterion : kCriteria) std::cout << std::setw(11) << criterion;
  std::cout << "      tuned |  parameters       MACs  us/image  speed-up  widths\n" << std::fixed;
  for (const Row& row : rows) {
    std::cout << std::setw(6) << row.rate << " % |" << std::setprecision(2);
    for (const double value : row.top1) std::cout << std::setw(11) << value;
    std::cout << std::setw(11) << row.tuned << " |" << std::setw(12) << grouped(row.cost.parameters())
              << std::setw(11) << grouped(row.cost.macs()) << std::setprecision(1) << std::setw(10)
              << row.latency << std::setprecision(2) << std::setw(9) << row.speed_up << "x ";
    for (const Index width : row.pruned.config.hidden_widths) std::cout << ' ' << width;
    std::cout << '\n';
  }
}

chart::Figure draw(const std::vector<Row>& rows, std::size_t test_digits) {
  const auto line = [&](const char* label, const char* colour, chart::Marker marker, auto&& value) {
    chart::Series series{.label = label, .colour = colour, .marker = marker};
    for (const Row& row : rows) series.points.push_back({static_cast<double>(row.rate), value(row)});
    return series;
  };
  const auto top1_of = [](std::size_t criterion) {
    return [criterion](const Row& row) { return row.top1[criterion]; };
  };
  // The share of the dense model's, in per cent.
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
      .y = {.label = "top-1, %", .begin = 10.0 * std::floor(lowest / 10.0), .end = 100, .step = 10},
      .series = {line("random, mean of 5 seeds", chart::colours::grey, Marker::triangle, top1_of(kRandom)),
                 line("magnitude", chart::colours::green, Marker::square, top1_of(kMagnitude)),
                 line("variance", chart::colours::orange, Marker::diamond, top1_of(kVariance)),
                 line("variance + mean shift (VBP)", chart::colours::blue, Marker::circle, top1_of(kVbp)),
                 line("VBP, fine-tuned", chart::colours::purple, Marker::square,
                      [](const Row& row) { return row.tuned; })}};
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
  // At a low rate noise can put the latency above the dense model's.
  for (const chart::Point& p : cost.series.back().points) {
    cost.y.end = std::max(cost.y.end, 20.0 * std::ceil(p.y / 20.0));
  }
  return {.title = "Pruning a Vision Transformer of handwritten digits",
          .subtitle =
              "Random, magnitude and variance only remove neurons; VBP also shifts the mean. One curve is "
              "fine-tuned.",
          .panels = {accuracy, cost}};
}

void run(const fs::path& picture, const fs::path& folder) {
  if (!fs::is_directory(fs::absolute(picture).parent_path())) {
    throw vbp::FileError(picture.string(), "lies in no folder that exists");
  }
  vbp::io::Preprocessing preprocessing{.image_size = 8};
  preprocessing.mean.fill(0.5);
  preprocessing.std.fill(0.5);
  const Split digits = load_digits(folder / "digits.bin", preprocessing);
  const auto begin = std::chrono::steady_clock::now();
  const Model dense = train(vbp::initialise_vit<float>(network(), 1), nullptr, digits.calibration,
                            {.epochs = 60,
                             .learning_rate = 1.5e-3,
                             .warmup_epochs = 5.0,
                             .optimiser = {.weight_decay = 0.05},
                             .label_smoothing = 0.05});
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;

  std::vector<vbp::Statistics<double>> statistics = vbp::hidden_statistics(dense.config);
  vbp::Inference<float> inference(dense);
  vbp::observe_hidden<float>(inference, digits.calibration.images, statistics);
  std::cout << "A Vision Transformer of " << dense.config.depth() << " blocks, trained in " << std::fixed
            << std::setprecision(1) << time.count() << " s and calibrated on "
            << digits.calibration.labels.size() << " digits, tested on " << digits.test.labels.size()
            << " others.\n\n";

  std::vector<Row> rows;
  for (int rate = 0; rate <= 90; rate += 10) rows.push_back(prune(dense, statistics, rate, digits));
  measure_latency(rows, digits.test.images.topRows(kLatencyBatch));
  print(rows);

  std::cout << "\nrandom: mean of " << kRandomSeeds << " seeds. us/image: one thread, batches of "
            << kLatencyBatch << ", median of " << kRounds << " runs that alternate between all models.\n"
            << "tuned: eight epochs with the dense network as teacher. One digit is "
            << 100.0 / static_cast<double>(digits.test.labels.size()) << " points.";
  int level = 0;
  for (const Row& row : rows) {
    if (row.top1[kMagnitude] >= row.top1[kVbp]) level = row.rate;
  }
  if (level > 0) {
    std::cout << " On a problem this small magnitude does as well as VBP or better up to " << level << " %.";
  }
  std::cout << '\n';
  vbp::io::write_file_atomically(picture, chart::to_svg(draw(rows, digits.test.labels.size())));
  std::cout << "written: " << picture.string() << '\n';
  if (!std::cout.flush()) throw vbp::Error("standard output: cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() > 2 || (!arguments.empty() && arguments[0].starts_with("-"))) {
    std::cerr << "usage: digits [PICTURE [FOLDER]]\n";
    return 1;
  }
  try {
    run(arguments.empty() ? "digits.svg" : arguments[0],
        arguments.size() < 2 ? VBP_DIGITS_DIR : arguments[1]);
  } catch (const std::exception& error) {
    std::cerr << "digits: " << error.what() << '\n';
    return 1;
  }
}
