/// One training step at a time, on request, so that another program's steps can be measured in turn:
/// bench_training MODEL BATCH THREADS. For every line on stdin it runs forward, backward and AdamW on a batch
/// of random images and prints the seconds; at the end of stdin it prints its peak memory in bytes.

#include <exception>
#include <iostream>
#include <string>

#include "common.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/train/trainer.hpp"

namespace {

void run(const std::string& file, vbp::Index count, int threads) {
  const vbp::VisionTransformer<float> model = vbp::load_checkpoint<vbp::VisionTransformer<float>>(file).model;
  vbp::Matrix<float> images(count, model.config.image_elements());
  std::vector<vbp::Index> labels;
  vbp::Random random(1);
  for (float& value : images.reshaped()) value = static_cast<float>(random.normal());
  for (vbp::Index i = 0; i < count; ++i) labels.push_back(i % model.config.classes);
  vbp::Trainer trainer(model, nullptr, {.batch = count}, count, vbp::Context(threads));
  vbp::TrainingStep step;
  const auto next = [&](vbp::TrainingBatch& batch) {
    batch.images = images;
    batch.labels = labels;
    return true;
  };
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << bench::seconds_of([&] { trainer.step(next, step); }) << std::endl;
  }
  std::cout << "peak " << bench::peak_memory() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw vbp::Error("usage: bench_training MODEL BATCH THREADS");
    vbp::kernels::select_architecture_by_environment();
    run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]));
  } catch (const std::exception& error) {
    std::cerr << "bench_training: " << error.what() << '\n';
    return 1;
  }
}
