#pragma once
/// The parameters of a Vision Transformer, as plain Eigen matrices in PyTorch's layout.

#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/models/vit/config.hpp"

namespace vbp::inline VBP_ABI {

/// One transformer block: x += ls1 * attention(norm1(x)); x += ls2 * fc2(gelu(fc1(norm2(x)))).
/// Models LinearGeluLinear by its MLP, so the pruner works on it in place.
template <class T>
struct VitBlock : Mlp<T> {
  LayerNorm<T> norm1;
  Linear<T> qkv;           ///< [3 dim, dim]: the rows of q, then k, then v, each head by head
  Linear<T> proj;          ///< [dim, dim]
  Vector<T> layer_scale1;  ///< [dim], empty without layer scale
  LayerNorm<T> norm2;
  Vector<T> layer_scale2;

  /// What the MLP's output is multiplied with, [dim], before it joins the residual stream; empty for 1.
  const Vector<T>& output_scale() const noexcept { return layer_scale2; }
};

/// A Vision Transformer's configuration and weights; inference.hpp runs it.
template <class T>
struct VisionTransformer {
  using Scalar = T;

  VitConfig config;
  Linear<T> patch_embed;  ///< [dim, channels * patch * patch], a pixel's index runs channel, row, column
  Vector<T> class_token;
  Vector<T> distillation_token;
  Matrix<T> register_tokens;  ///< [registers, dim]
  Matrix<T> positions;        ///< [tokens or patches, dim]: class, distillation, registers, then row by row
  std::vector<VitBlock<T>> blocks;
  LayerNorm<T> norm;
  LayerNorm<T> fc_norm;
  Linear<T> head;               ///< [classes, pooled features]
  Linear<T> head_distillation;  ///< of the distillation token

  /// Reads config.hidden_widths off the blocks; to be called after their MLPs were changed.
  void update_widths() {
    config.hidden_widths.clear();
    for (const VitBlock<T>& block : blocks) config.hidden_widths.push_back(block.fc1.weight.rows());
  }

  /// The name of a block, as in checkpoints, reports and exclusions.
  static std::string block_name(Index block) { return "blocks." + std::to_string(block); }

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const;
};

/// The blocks' names, in order: those of reports, plans and calibration files.
inline std::vector<std::string> block_names(const VitConfig& config) {
  std::vector<std::string> names;
  for (Index i = 0; i < config.depth(); ++i) names.push_back(VisionTransformer<float>::block_name(i));
  return names;
}

/// Calls visit(name, parameter, rows, cols) for every parameter that the configuration asks for, in a fixed
/// order, with timm's tensor name and the shape it must have (cols is 1 for a vector). A parameter is a
/// Matrix<T> or a Vector<T>; `Model` may be const. The one place that knows which parameters there are.
template <ModelOf<VitConfig> Model, class Visitor>
void for_each_parameter(Model& model, Visitor&& visit) {
  const VitConfig& config = model.config;
  const Index dim = config.dim;
  ParameterNames<std::remove_reference_t<Visitor>> name_of{visit};
  if (config.class_token) name_of.vector("cls_token", model.class_token, dim);
  if (config.distillation_token) name_of.vector("dist_token", model.distillation_token, dim);
  if (config.register_tokens > 0) {
    visit(std::string("reg_token"), model.register_tokens, config.register_tokens, dim);
  }
  visit(std::string("pos_embed"), model.positions,
        config.position_covers_prefix ? config.tokens() : config.patches(), dim);
  name_of.linear("patch_embed.proj", model.patch_embed, dim, config.patch_elements());
  for (std::size_t i = 0; i < model.blocks.size(); ++i) {
    const std::string name = model.block_name(static_cast<Index>(i));
    auto& block = model.blocks[i];
    const Index hidden = config.hidden_widths[i];
    name_of.layer_norm(name + ".norm1", block.norm1, dim);
    name_of.linear(name + ".attn.qkv", block.qkv, 3 * dim, dim, config.qkv_bias);
    name_of.linear(name + ".attn.proj", block.proj, dim, dim);
    if (config.layer_scale) name_of.vector(name + ".ls1.gamma", block.layer_scale1, dim);
    name_of.layer_norm(name + ".norm2", block.norm2, dim);
    name_of.linear(name + ".mlp.fc1", block.fc1, hidden, dim);
    name_of.linear(name + ".mlp.fc2", block.fc2, dim, hidden);
    if (config.layer_scale) name_of.vector(name + ".ls2.gamma", block.layer_scale2, dim);
  }
  if (config.norm) name_of.layer_norm("norm", model.norm, dim);
  if (config.fc_norm) name_of.layer_norm("fc_norm", model.fc_norm, config.pooled_features());
  if (config.classes > 0) {
    name_of.linear("head", model.head, config.classes, config.pooled_features());
    if (config.distillation_token) name_of.linear("head_dist", model.head_distillation, config.classes, dim);
  }
}

/// A model of this shape with every parameter zero; throws ValueError if the configuration is impossible.
template <class T>
VisionTransformer<T> make_vit(const VitConfig& config) {
  config.validate();
  VisionTransformer<T> model;
  model.config = config;
  model.blocks.resize(static_cast<std::size_t>(config.depth()));
  set_parameters_zero(model);
  return model;
}

template <class T>
void VisionTransformer<T>::validate() const {
  config.validate();
  if (static_cast<Index>(blocks.size()) != config.depth()) {
    throw ShapeError("a model of " + std::to_string(blocks.size()) + " blocks with a configuration of " +
                     std::to_string(config.depth()));
  }
  require_parameters(*this);
}

/// The same model with every parameter converted to another scalar type.
template <class To, class From>
VisionTransformer<To> cast(const VisionTransformer<From>& model) {
  VisionTransformer<To> result = make_vit<To>(model.config);
  copy_parameters(model, result);
  return result;
}

}  // namespace vbp::inline VBP_ABI
