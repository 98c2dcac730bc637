#include <variant>

#include "model.hpp"
#include "vbp/models/convnext/onnx.hpp"
#include "vbp/models/swin/onnx.hpp"
#include "vbp/models/vit/onnx.hpp"

namespace tool {

void export_checkpoint(vbp::io::AtomicFile& file, const Checkpoint& checkpoint) {
  std::visit(
      [&](const auto& model) {
        vbp::export_onnx(file, around(checkpoint, model), {.producer_version = VBP_VERSION});
      },
      checkpoint.model);
}

}  // namespace tool
