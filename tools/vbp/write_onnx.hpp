#pragma once
/// The one function of the tool that needs the optional component vbp::onnx.

#include "vbp/io/file.hpp"
#include "vbp/pipeline/any_model.hpp"

namespace tool {

/// Writes an ONNX file. Throws FileError in a build without ONNX.
void write_onnx(vbp::io::AtomicFile& file, const vbp::AnyModel& model);

}  // namespace tool
