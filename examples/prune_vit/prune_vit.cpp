/// Prunes half of the hidden neurons of a trained model, as `vbp prune --rate 0.5` does it.

#include <exception>
#include <iostream>

#include <vbp/pipeline/image_folder.hpp>
#include <vbp/pipeline/prune.hpp>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: prune_vit MODEL IMAGES OUT\n"
                 "  a .safetensors file, a folder of images, and the .safetensors file to write\n";
    return 2;
  }
  try {
    auto model = vbp::load_model(argv[1]);
    auto images = vbp::image_folder(argv[2]);
    auto result = vbp::prune(model, images, {.rate = 0.5});
    vbp::save_model(argv[3], model);
    std::cout << result.report.method.name() << ": " << result.plan.removed() << " of " << result.plan.total()
              << " neurons removed\n";
  } catch (const std::exception& error) {
    std::cerr << "prune_vit: " << error.what() << '\n';
    return 1;
  }
}
