/// prune_golden MODEL PRUNED LOGITS: prunes 40 % of a model's hidden neurons, calibrated on random images,
/// writes it, and writes eight random images with the logits that vbp gets for them.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <utility>
#include <vector>

#include "vbp/vbp.hpp"

namespace {

using vbp::Index;

vbp::Matrix<float> random_images(Index count, Index elements, std::uint64_t seed) {
  vbp::Random random(seed);
  return vbp::Matrix<float>::NullaryExpr(count, elements,
                                         [&] { return static_cast<float>(random.normal()); });
}

void run(const char* model, const char* pruned, const char* logits) {
  vbp::VitCheckpoint checkpoint = vbp::load_vit(model);
  const vbp::VitConfig& config = checkpoint.model.config;
  std::vector<vbp::Statistics<double>> statistics = vbp::hidden_statistics(config);
  vbp::Inference<float> dense(checkpoint.model);
  vbp::observe_hidden<float>(dense, random_images(32, config.image_elements(), 1), statistics);
  vbp::prune(checkpoint.model.blocks, statistics, {.rate = 0.4, .min_width = 2});
  checkpoint.model.update_widths();
  vbp::save_vit(pruned, checkpoint);

  const vbp::Matrix<float> images = random_images(8, config.image_elements(), 2);
  const vbp::Matrix<float> expected = vbp::Inference<float>(checkpoint.model)(images);
  const auto bytes = [](const vbp::Matrix<float>& matrix) {
    return std::as_bytes(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
  };
  vbp::io::SafetensorsWriter writer;
  writer.add({"inputs",
              {vbp::io::Dtype::F32,
               {images.rows(), config.channels, config.image_size, config.image_size},
               bytes(images)}});
  writer.add({"logits", {vbp::io::Dtype::F32, {expected.rows(), expected.cols()}, bytes(expected)}});
  writer.write(logits, {});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: prune_golden MODEL PRUNED LOGITS\n";
    return 1;
  }
  try {
    run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::cerr << "prune_golden: " << error.what() << '\n';
    return 1;
  }
}
