#pragma once

#include <filesystem>
#include <variant>

#include "vbp/models/convnext/onnx.hpp"
#include "vbp/models/onnx_export.hpp"
#include "vbp/models/swin/onnx.hpp"
#include "vbp/models/vit/onnx.hpp"
#include "vbp/pipeline/export_onnx.hpp"
#include "vbp/pipeline/version.hpp"

namespace vbp::inline VBP_ABI {

VBP_FUNCTION void export_onnx(io::AtomicFile& file, const AnyModel& model) {
  std::visit(
      [&](const auto& of) -> void {
        export_onnx(file, model.checkpoint_of(of), {.producer_version = kVersion});
      },
      model.variant());
}

VBP_FUNCTION void export_onnx(const std::filesystem::path& file, const AnyModel& model) {
  io::AtomicFile out(file);
  export_onnx(out, model);
  out.commit();
}

}  // namespace vbp::inline VBP_ABI
