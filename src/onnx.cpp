/// The compiled bodies of what needs the protobuf definition that ONNX ships.

#include "vbp/io/onnx_graph-inl.hpp"
#include "vbp/models/onnx_export-inl.hpp"
#include "vbp/models/onnx_layers-inl.hpp"
#include "vbp/pipeline/export_onnx-inl.hpp"
