#include <vbp/models/vit/model.hpp>
#include <vbp/models/vit/onnx.hpp>

// Writes a small Vision Transformer as an ONNX file.
int main(int argc, char** argv) {
  if (argc != 2) return 1;
  const vbp::VitConfig config{
      .image_size = 8, .patch_size = 4, .dim = 8, .heads = 2, .hidden_widths = {16}, .classes = 3};
  vbp::io::AtomicFile file(argv[1]);
  vbp::onnx_graph(vbp::make_model<vbp::VisionTransformer<float>>(config)).write(file, {});
  file.commit();
}
