/// In the place of write_onnx.cpp where vbp is built without ONNX.

#include "model.hpp"
#include "vbp/core/error.hpp"

namespace tool {

void export_checkpoint(vbp::io::AtomicFile& file, const Checkpoint&) {
  throw vbp::FileError(file.path().string(),
                       "this build of vbp has no ONNX: libonnx or libprotobuf was missing, or VBP_ONNX off");
}

}  // namespace tool
