#pragma once
/// Writes a model of any family as an ONNX file, for other runtimes. Needs the component vbp::onnx.
///
///     vbp::export_onnx("model.onnx", vbp::load_model("vit.safetensors"));

#include <filesystem>

#include "vbp/core/config.hpp"
#include "vbp/io/file.hpp"
#include "vbp/pipeline/any_model.hpp"

namespace vbp::inline VBP_ABI {

/// Writes an ONNX file atomically. Throws FileError.
VBP_FUNCTION void export_onnx(const std::filesystem::path& file, const AnyModel& model);
/// The same into an open file. The caller must commit the file.
VBP_FUNCTION void export_onnx(io::AtomicFile& file, const AnyModel& model);

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/export_onnx-inl.hpp"
#endif
