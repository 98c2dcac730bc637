/// Runs a model of any family whenever a line on stdin asks for it, so that compare.py can interleave it with
/// other runtimes: serve MODEL IMAGES BATCH THREADS LOGITS. IMAGES holds BATCH images as float32; each line
/// of input is answered by the seconds of one run; the logits of the last run are in LOGITS when input ends.

#include <fstream>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

#include "common.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/checkpoint.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/swin/checkpoint.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/forward.hpp"

namespace {

/// Answers stdin until it ends, then writes the logits; whether that went well.
template <class Model>
bool serve(const vbp::Checkpoint<Model>& checkpoint, const std::string& images_file, vbp::Index batch,
           int threads, const std::string& logits_file) {
  checkpoint.require_complete();
  typename Model::Inference inference(checkpoint.model, vbp::Context(threads));
  const auto& config = inference.config();
  const vbp::Matrix<float> images = bench::read_images(images_file, batch, config.image_elements());
  vbp::Matrix<float> logits(batch, config.outputs());
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << bench::seconds_of([&] { inference.run(images, logits); }) << std::endl;
  }
  std::ofstream output(logits_file, std::ios::binary);
  output.write(reinterpret_cast<const char*>(logits.data()),
               static_cast<std::streamsize>(static_cast<std::size_t>(logits.size()) * sizeof(float)));
  return static_cast<bool>(output);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: serve MODEL IMAGES BATCH THREADS LOGITS\n";
    return 2;
  }
  try {
    vbp::kernels::select_architecture_by_environment();
    const std::string model = argv[1];
    const vbp::Index batch = std::stol(argv[3]);
    const int threads = std::stoi(argv[4]);
    const auto answer = [&]<class Model>(std::type_identity<Model>) {
      return serve(vbp::load_checkpoint<Model>(model), argv[2], batch, threads, argv[5]) ? 0 : 1;
    };
    const std::vector<std::string> names = vbp::io::SafetensorsFile(model).names();
    if (vbp::is_checkpoint_of<vbp::ConvNext<float>>(names)) {
      return answer(std::type_identity<vbp::ConvNext<float>>{});
    }
    if (vbp::is_checkpoint_of<vbp::SwinTransformer<float>>(names)) {
      return answer(std::type_identity<vbp::SwinTransformer<float>>{});
    }
    return answer(std::type_identity<vbp::VisionTransformer<float>>{});
  } catch (const std::exception& error) {
    std::cerr << "serve: " << error.what() << '\n';
    return 1;
  }
}
