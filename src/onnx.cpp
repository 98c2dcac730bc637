/// The compiled bodies of what needs the protobuf definition that ONNX ships.

#include "vbp/models/convnext/onnx.hpp"

#include "vbp/io/onnx_graph-inl.hpp"
#include "vbp/models/onnx_export-inl.hpp"
#include "vbp/models/onnx_layers-inl.hpp"
#include "vbp/models/swin/onnx.hpp"
#include "vbp/models/vit/onnx.hpp"
#include "vbp/pipeline/export_onnx-inl.hpp"

namespace vbp::inline VBP_ABI {

template io::OnnxGraph onnx_graph(const VisionTransformer<float>&);
template void export_onnx(io::AtomicFile&, const Checkpoint<VisionTransformer<float>>&,
                          const io::OnnxOptions&);
template io::OnnxGraph onnx_graph(const ConvNext<float>&);
template void export_onnx(io::AtomicFile&, const Checkpoint<ConvNext<float>>&, const io::OnnxOptions&);
template io::OnnxGraph onnx_graph(const SwinTransformer<float>&);
template void export_onnx(io::AtomicFile&, const Checkpoint<SwinTransformer<float>>&, const io::OnnxOptions&);

}  // namespace vbp::inline VBP_ABI
