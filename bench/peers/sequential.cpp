/// The sequential refit of a network, on request, so that another program's can be measured in turn:
/// bench_sequential MODEL IMAGES COUNT RATE THREADS. IMAGES holds COUNT images as float32. Calibrates once;
/// for every line on stdin it refits anew, second layers and attention outputs, and prints the seconds; at
/// the end of stdin it prints the errors of the steps and its peak memory in bytes.

#include "vbp/prune/compensate/sequential.hpp"

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "common.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/steps.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

using vbp::Index;
using vbp::Matrix;

constexpr Index kBatch = 32;

void run(const std::string& file, const std::string& images_file, Index count, double rate, int threads) {
  const vbp::VisionTransformer<float> model = vbp::load_checkpoint<vbp::VisionTransformer<float>>(file).model;
  Matrix<float> images = bench::read_images(images_file, count, model.config.image_elements());

  auto statistics = vbp::hidden_statistics(model.config);
  auto covariances = vbp::hidden_covariances(model.config);
  const Index tokens = model.config.tokens();
  Matrix<float> start(count * tokens, model.config.dim);
  vbp::VitInference<float> inference(model, vbp::Context(threads));
  for (Index first = 0; first < count; first += kBatch) {
    const Index size = std::min(kBatch, count - first);
    vbp::observe_hidden<float>(inference, images.middleRows(first, size), statistics, covariances);
    start.middleRows(first * tokens, size * tokens) = inference.embedded(images.middleRows(first, size));
  }
  images.resize(0, 0);
  const vbp::PruningPlan plan =
      vbp::VariancePruner({.rate = rate}).plan(vbp::block_names(model.config), statistics);

  std::vector<vbp::SequentialStep> steps;
  for (std::string line; std::getline(std::cin, line);) {
    vbp::VisionTransformer<float> teacher = model, student = model;
    vbp::VitSteps<float> dense(teacher, vbp::Context(threads)), pruned(student, vbp::Context(threads));
    vbp::SequentialRefit<vbp::VitSteps<float>> refit(
        dense, pruned, {.inputs = false, .first_layer_steps = 0, .batch = kBatch});
    std::cout << bench::seconds_of([&] { steps = refit(plan, covariances, start); }) << std::endl;
  }
  for (const vbp::SequentialStep& step : steps) {
    if (step.refitted) std::cout << step.name << ' ' << step.after << '\n';
  }
  std::cout << "peak " << bench::peak_memory() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 6) throw vbp::Error("usage: bench_sequential MODEL IMAGES COUNT RATE THREADS");
    vbp::kernels::select_architecture_by_environment();
    run(argv[1], argv[2], std::atol(argv[3]), std::atof(argv[4]), std::atoi(argv[5]));
  } catch (const std::exception& error) {
    std::cerr << "bench_sequential: " << error.what() << '\n';
    return 1;
  }
}
