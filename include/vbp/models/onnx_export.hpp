#pragma once
/// Checkpoints as ONNX files. Needs the protobuf definition that ONNX ships.

#include "vbp/io/file.hpp"
#include "vbp/io/onnx_graph.hpp"
#include "vbp/models/checkpoint.hpp"

namespace vbp::inline VBP_ABI {

/// The forward pass of Model::Inference as a graph: from normalised `images` [batch, channels, size, size] to
/// `logits` [batch, classes], without a head `features`. Its initialisers are the model's parameters under
/// timm's names and in timm's shapes. The family's onnx.hpp must be included with it. Throws what
/// model.validate() throws.
template <class Model>
io::OnnxGraph onnx_graph(const Model& model);

/// Writes a checkpoint as an ONNX file, with the metadata that save_checkpoint writes: how images are made,
/// and the configuration. The family's onnx.hpp must be included with it. The caller commits the file. Throws
/// ValueError or ShapeError, before anything is written, if the checkpoint is incomplete or contradicts
/// itself, and FileError if the file would be too large or cannot be written.
template <class Model>
void export_onnx(io::AtomicFile& file, const Checkpoint<Model>& checkpoint,
                 const io::OnnxOptions& options = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/models/onnx_export-inl.hpp"
#endif
