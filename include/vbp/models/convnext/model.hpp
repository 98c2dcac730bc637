#pragma once
/// The parameters of a ConvNeXt, as plain Eigen matrices in PyTorch's layout.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI {

template <class T>
class ConvNextInference;
template <class T>
class ConvNextSteps;
namespace detail {
template <class T>
class ConvNextBackward;
}

/// One block on a feature map x, channels last: x += layer_scale * fc2(gelu(fc1(norm(depthwise(x))))).
/// Its pointwise convolutions are linear layers over the pixels.
template <class T>
struct ConvNextBlock : Mlp<T> {
  Linear<T> depthwise;  ///< [dim, 7 * 7]: each channel's own kernel, row by row
  LayerNorm<T> norm;
  Vector<T> layer_scale;  ///< [dim], empty without layer scale

  /// What the MLP's output is multiplied with before it joins the residual stream; empty for 1.
  const Vector<T>& output_scale() const noexcept { return layer_scale; }
};

/// A ConvNeXt's configuration and weights. The embedding is called its stem. A transition normalises every
/// pixel and is a 2x2 convolution of stride 2: an input's index runs channel, row, column.
template <class T>
struct ConvNext : StageModel<T, ConvNextConfig, ConvNextBlock<T>> {
  using Inference = ConvNextInference<T>;
  using Steps = ConvNextSteps<T>;
  using Backward = detail::ConvNextBackward<T>;

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const { detail::require_valid(*this); }
};

/// Names the parameters of one block: see for_each_parameter.
template <class Block, class Names>
void for_each_block_parameter(const ConvNextConfig& config, Index stage, const std::string& name,
                              Block& block, Names& name_of) {
  const Index dim = config.dim(stage);
  const Index hidden = block.fc1.weight.rows();
  name_of.linear(name + ".conv_dw", block.depthwise, dim, 49);
  name_of.layer_norm(name + ".norm", block.norm, dim);
  name_of.linear(name + ".mlp.fc1", block.fc1, hidden, dim);
  name_of.linear(name + ".mlp.fc2", block.fc2, dim, hidden);
  if (config.layer_scale) name_of.vector(name + ".gamma", block.layer_scale, dim);
}

}  // namespace vbp::inline VBP_ABI
