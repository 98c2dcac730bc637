#pragma once
/// The parameters of a Swin Transformer, as plain Eigen matrices in PyTorch's layout.

#include <string>

#include "vbp/core/types.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/transformer_block.hpp"

namespace vbp::inline VBP_ABI {

template <class T>
class SwinInference;
template <class T>
class SwinSteps;
namespace detail {
template <class T>
class SwinBackward;
}

/// One block on a feature map, channels last. Its attention stays within windows, and it has no layer scales.
template <class T>
struct SwinBlock : TransformerBlock<T> {
  /// [(2 window - 1)^2, heads]: what a query adds to the score of a key that lies (row, column) away from it,
  /// row by row from the farthest below.
  Matrix<T> position_bias;
};

/// A Swin Transformer's configuration and weights. A transition lays the four pixels of a square side by
/// side, the left column from above and then the right one, normalises them, and reduces them without a bias.
template <class T>
struct SwinTransformer : StageModel<T, SwinConfig, SwinBlock<T>> {
  using Inference = SwinInference<T>;
  using Steps = SwinSteps<T>;
  using Backward = detail::SwinBackward<T>;

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const { detail::require_valid(*this); }
};

/// Names the parameters of one block: see for_each_parameter.
template <class Block, class Names>
void for_each_block_parameter(const SwinConfig& config, Index stage, const std::string& name, Block& block,
                              Names& name_of) {
  const Index dim = config.dim(stage);
  const Index hidden = block.fc1.weight.rows();
  name_of.layer_norm(name + ".norm1", block.norm1, dim);
  name_of.visit(name + ".attn.relative_position_bias_table", block.position_bias, config.bias_rows(stage),
                config.head_count(stage));
  name_of.linear(name + ".attn.qkv", block.qkv, 3 * dim, dim, config.qkv_bias);
  name_of.linear(name + ".attn.proj", block.proj, dim, dim);
  name_of.layer_norm(name + ".norm2", block.norm2, dim);
  name_of.linear(name + ".mlp.fc1", block.fc1, hidden, dim);
  name_of.linear(name + ".mlp.fc2", block.fc2, dim, hidden);
}

}  // namespace vbp::inline VBP_ABI
