/// Runs a model whenever a line on stdin asks for it, so that compare.py can interleave it with other
/// runtimes: serve MODEL IMAGES BATCH THREADS LOGITS. IMAGES holds BATCH images as float32; each line of
/// input is answered by the seconds of one run; the logits of the last run are in LOGITS when input ends.

#include <fstream>
#include <iostream>

#include "common.hpp"

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: serve MODEL IMAGES BATCH THREADS LOGITS\n";
    return 2;
  }
  try {
    dispatch::select_by_environment();
    const vbp::VitCheckpoint checkpoint = vbp::load_vit(argv[1]);
    checkpoint.require_complete();
    vbp::Inference<float> inference(checkpoint.model, {.threads = std::stoi(argv[4])});
    const vbp::Index batch = std::stol(argv[3]);
    const vbp::Matrix<float> images = bench::read_images(argv[2], batch, checkpoint.model.config);
    vbp::Matrix<float> logits(batch, checkpoint.model.config.outputs());
    std::string line;
    while (std::getline(std::cin, line)) {
      std::cout << bench::seconds_of([&] { inference.run(images, logits.data()); }) << std::endl;
    }
    std::ofstream output(argv[5], std::ios::binary);
    output.write(reinterpret_cast<const char*>(logits.data()),
                 static_cast<std::streamsize>(static_cast<std::size_t>(logits.size()) * sizeof(float)));
    return output ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "serve: " << error.what() << '\n';
    return 1;
  }
}
