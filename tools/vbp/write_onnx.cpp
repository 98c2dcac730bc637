#include "write_onnx.hpp"

#include "vbp/pipeline/export_onnx.hpp"

namespace tool {

void write_onnx(vbp::io::AtomicFile& file, const vbp::AnyModel& model) {
  vbp::export_onnx(file, model);
}

}  // namespace tool
