/// Takes the place of write_onnx.cpp in a build without ONNX.

#include "vbp/core/error.hpp"
#include "write_onnx.hpp"

namespace tool {

void write_onnx(vbp::io::AtomicFile& file, const vbp::AnyModel&) {
  throw vbp::FileError(
      file.path().string(),
      "this build of vbp has no ONNX: libonnx or libprotobuf was missing, or VBP_ONNX was off");
}

}  // namespace tool
