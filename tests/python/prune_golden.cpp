/// prune_golden FAMILY MODEL PRUNED LOGITS: prunes 40 % of a model's hidden neurons, calibrated on random
/// images, writes it, and writes eight random images with the logits that vbp gets for them.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <string_view>
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

template <class Model>
void run(char** files) {
  using Inference = typename Model::Inference;
  auto checkpoint = vbp::load_checkpoint<Model>(files[0]);
  const auto& config = checkpoint.model.config;
  std::vector<vbp::Statistics<double>> statistics = vbp::hidden_statistics(config);
  Inference dense(checkpoint.model);
  vbp::observe_hidden<float>(dense, random_images(32, config.image_elements(), 1), statistics);
  vbp::prune(checkpoint.model.blocks, statistics, {.rate = 0.4, .min_width = 2});
  vbp::save_checkpoint(files[1], checkpoint);

  const vbp::Matrix<float> images = random_images(8, config.image_elements(), 2);
  const vbp::Matrix<float> expected = Inference(checkpoint.model)(images);
  const auto bytes = [](const vbp::Matrix<float>& matrix) {
    return std::as_bytes(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
  };
  vbp::io::SafetensorsWriter writer;
  writer.add({"inputs",
              {vbp::io::Dtype::F32,
               {images.rows(), config.channels, config.image_size, config.image_size},
               bytes(images)}});
  writer.add({"logits", {vbp::io::Dtype::F32, {expected.rows(), expected.cols()}, bytes(expected)}});
  writer.write(files[2], {});
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view family = argc == 5 ? argv[1] : "";
  try {
    if (family == "vit") {
      run<vbp::VisionTransformer<float>>(argv + 2);
    } else if (family == "convnext") {
      run<vbp::ConvNext<float>>(argv + 2);
    } else if (family == "swin") {
      run<vbp::SwinTransformer<float>>(argv + 2);
    } else {
      std::cerr << "usage: prune_golden vit|convnext|swin MODEL PRUNED LOGITS\n";
      return 1;
    }
  } catch (const std::exception& error) {
    std::cerr << "prune_golden: " << error.what() << '\n';
    return 1;
  }
}
