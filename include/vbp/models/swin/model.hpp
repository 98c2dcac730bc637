#pragma once
/// The parameters of a Swin Transformer, as plain Eigen matrices in PyTorch's layout.

#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/models/swin/config.hpp"

namespace vbp::inline VBP_ABI {

/// One block on a feature map x, channels last: x += proj(attention(qkv(norm1(x)))) within windows, then
/// x += fc2(gelu(fc1(norm2(x)))).
template <class T>
struct SwinBlock : Mlp<T> {
  LayerNorm<T> norm1;
  /// [(2 window - 1)^2, heads]: what a query adds to the score of a key that lies (row, column) away from it,
  /// row by row from the farthest below.
  Matrix<T> position_bias;
  Linear<T> qkv;  ///< [3 * dim, dim]: queries, keys, values, each head by head
  Linear<T> proj;
  LayerNorm<T> norm2;

  /// What the MLP's output is multiplied with before it joins the residual stream; empty for 1.
  Vector<T> output_scale() const noexcept { return {}; }
};

/// What lies between two stages: squares of four pixels, side by side, normalised and reduced.
template <class T>
struct SwinMerging {
  LayerNorm<T> norm;    ///< [4 * dim before]: the square's left column from above, then its right one
  Linear<T> reduction;  ///< [dim after, 4 * dim before], without a bias
};

/// A Swin Transformer's configuration and weights; inference.hpp runs it.
template <class T>
struct SwinTransformer {
  using Scalar = T;

  SwinConfig config;
  Linear<T>
      patch_embed;  ///< [first dim, channels * patch * patch], a pixel's index runs channel, row, column
  LayerNorm<T> patch_norm;
  std::vector<SwinMerging<T>> mergings;  ///< before each stage but the first
  std::vector<SwinBlock<T>> blocks;      ///< stage after stage
  LayerNorm<T> norm;                     ///< of the last stage's pixels, whose mean the head reads
  Linear<T> head;

  /// Reads config.hidden_widths off the blocks; to be called after their MLPs were changed.
  void update_widths() {
    config.hidden_widths.clear();
    for (const SwinBlock<T>& block : blocks) config.hidden_widths.push_back(block.fc1.weight.rows());
  }

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const {
    config.validate();
    if (static_cast<Index>(blocks.size()) != config.depth() ||
        static_cast<Index>(mergings.size()) != config.stages() - 1) {
      throw ShapeError("a model of " + std::to_string(blocks.size()) + " blocks and " +
                       std::to_string(mergings.size() + 1) + " stages with a configuration of " +
                       std::to_string(config.depth()) + " and " + std::to_string(config.stages()));
    }
    require_parameters(*this);
  }
};

/// The blocks' names, in order: those of checkpoints, reports, plans and calibration files.
inline std::vector<std::string> block_names(const SwinConfig& config) {
  std::vector<std::string> names;
  for (Index stage = 0; stage < config.stages(); ++stage) {
    for (Index i = 0; i < config.depths[static_cast<std::size_t>(stage)]; ++i) {
      names.push_back("layers." + std::to_string(stage) + ".blocks." + std::to_string(i));
    }
  }
  return names;
}

/// Calls visit(name, parameter, rows, cols) for every parameter that the configuration asks for, in the
/// order in which a forward pass meets them, with timm's tensor name and the shape it must have (cols is 1
/// for a vector). The one place that knows which parameters there are.
template <ModelOf<SwinConfig> Model, class Visitor>
void for_each_parameter(Model& model, Visitor&& visit) {
  const SwinConfig& config = model.config;
  ParameterNames<std::remove_reference_t<Visitor>> name_of{visit};
  name_of.linear("patch_embed.proj", model.patch_embed, config.dim(0), config.patch_elements());
  name_of.layer_norm("patch_embed.norm", model.patch_norm, config.dim(0));
  const std::vector<std::string> names = block_names(config);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    const Index dim = config.dim(stage);
    if (stage > 0) {
      auto& merging = model.mergings[static_cast<std::size_t>(stage - 1)];
      const std::string name = "layers." + std::to_string(stage) + ".downsample";
      name_of.layer_norm(name + ".norm", merging.norm, 4 * config.dim(stage - 1));
      name_of.linear(name + ".reduction", merging.reduction, dim, 4 * config.dim(stage - 1), false);
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const auto i = static_cast<std::size_t>(b);
      auto& block = model.blocks[i];
      const Index hidden = config.hidden_widths[i];
      name_of.layer_norm(names[i] + ".norm1", block.norm1, dim);
      visit(names[i] + ".attn.relative_position_bias_table", block.position_bias, config.bias_rows(stage),
            config.head_count(stage));
      name_of.linear(names[i] + ".attn.qkv", block.qkv, 3 * dim, dim, config.qkv_bias);
      name_of.linear(names[i] + ".attn.proj", block.proj, dim, dim);
      name_of.layer_norm(names[i] + ".norm2", block.norm2, dim);
      name_of.linear(names[i] + ".mlp.fc1", block.fc1, hidden, dim);
      name_of.linear(names[i] + ".mlp.fc2", block.fc2, dim, hidden);
    }
  }
  name_of.layer_norm("norm", model.norm, config.dims.back());
  if (config.classes > 0) name_of.linear("head.fc", model.head, config.classes, config.dims.back());
}

/// A model of this shape with every parameter zero; throws ValueError if the configuration is impossible.
template <class T>
SwinTransformer<T> make_swin(const SwinConfig& config) {
  config.validate();
  SwinTransformer<T> model;
  model.config = config;
  model.blocks.resize(static_cast<std::size_t>(config.depth()));
  model.mergings.resize(static_cast<std::size_t>(config.stages() - 1));
  set_parameters_zero(model);
  return model;
}

/// The same model with every parameter converted to another scalar type.
template <class To, class From>
SwinTransformer<To> cast(const SwinTransformer<From>& model) {
  SwinTransformer<To> result = make_swin<To>(model.config);
  copy_parameters(model, result);
  return result;
}

}  // namespace vbp::inline VBP_ABI
