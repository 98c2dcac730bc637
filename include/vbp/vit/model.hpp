#pragma once
/// The parameters of a Vision Transformer, as plain Eigen matrices in PyTorch's layout.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/vit/config.hpp"

namespace vbp {

/// y = x weight^T + bias; weight is [out, in], bias is [out] or empty for none.
template <class T>
struct Linear {
  Matrix<T> weight;
  Vector<T> bias;
};

/// Scale and shift of a layer norm, [dim] each; both empty where the model has no such norm.
template <class T>
struct LayerNorm {
  Vector<T> weight;
  Vector<T> bias;
};

/// One transformer block: x += ls1 * attention(norm1(x)); x += ls2 * fc2(gelu(fc1(norm2(x)))).
/// Models LinearGeluLinear by its MLP, so the pruner works on it in place.
template <class T>
struct VitBlock {
  using Scalar = T;

  LayerNorm<T> norm1;
  Linear<T> qkv;           ///< [3 dim, dim]: the rows of q, then k, then v, each head by head
  Linear<T> proj;          ///< [dim, dim]
  Vector<T> layer_scale1;  ///< [dim], empty without layer scale
  LayerNorm<T> norm2;
  Linear<T> fc1;  ///< [hidden, dim]
  Linear<T> fc2;  ///< [dim, hidden]
  Vector<T> layer_scale2;

  const Matrix<T>& fc1_weight() const noexcept { return fc1.weight; }
  const Vector<T>& fc1_bias() const noexcept { return fc1.bias; }
  const Matrix<T>& fc2_weight() const noexcept { return fc2.weight; }
  const Vector<T>& fc2_bias() const noexcept { return fc2.bias; }
  void set_weights(Matrix<T> fc1_weight, Vector<T> fc1_bias, Matrix<T> fc2_weight, Vector<T> fc2_bias) {
    fc1 = {std::move(fc1_weight), std::move(fc1_bias)};
    fc2 = {std::move(fc2_weight), std::move(fc2_bias)};
  }
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

/// Calls visit(name, parameter, rows, cols) for every parameter that the configuration asks for, in a fixed
/// order, with timm's tensor name and the shape it must have (cols is 1 for a vector). A parameter is a
/// Matrix<T> or a Vector<T>; `Model` may be const. The one place that knows which parameters there are.
template <class Model, class Visitor>
void for_each_parameter(Model& model, Visitor&& visit) {
  const VitConfig& config = model.config;
  const Index dim = config.dim;
  const auto linear = [&](const std::string& name, auto& layer, Index out, Index in, bool bias = true) {
    visit(name + ".weight", layer.weight, out, in);
    if (bias) visit(name + ".bias", layer.bias, out, Index{1});
  };
  const auto vector = [&](const std::string& name, auto& values, Index size) {
    visit(name, values, size, Index{1});
  };
  const auto layer_norm = [&](const std::string& name, auto& norm, Index size) {
    vector(name + ".weight", norm.weight, size);
    vector(name + ".bias", norm.bias, size);
  };
  if (config.class_token) vector("cls_token", model.class_token, dim);
  if (config.distillation_token) vector("dist_token", model.distillation_token, dim);
  if (config.register_tokens > 0) {
    visit(std::string("reg_token"), model.register_tokens, config.register_tokens, dim);
  }
  visit(std::string("pos_embed"), model.positions,
        config.position_covers_prefix ? config.tokens() : config.patches(), dim);
  linear("patch_embed.proj", model.patch_embed, dim, config.patch_elements());
  for (std::size_t i = 0; i < model.blocks.size(); ++i) {
    const std::string name = model.block_name(static_cast<Index>(i));
    auto& block = model.blocks[i];
    const Index hidden = config.hidden_widths[i];
    layer_norm(name + ".norm1", block.norm1, dim);
    linear(name + ".attn.qkv", block.qkv, 3 * dim, dim, config.qkv_bias);
    linear(name + ".attn.proj", block.proj, dim, dim);
    if (config.layer_scale) vector(name + ".ls1.gamma", block.layer_scale1, dim);
    layer_norm(name + ".norm2", block.norm2, dim);
    linear(name + ".mlp.fc1", block.fc1, hidden, dim);
    linear(name + ".mlp.fc2", block.fc2, dim, hidden);
    if (config.layer_scale) vector(name + ".ls2.gamma", block.layer_scale2, dim);
  }
  if (config.norm) layer_norm("norm", model.norm, dim);
  if (config.fc_norm) layer_norm("fc_norm", model.fc_norm, config.pooled_features());
  if (config.classes > 0) {
    linear("head", model.head, config.classes, config.pooled_features());
    if (config.distillation_token) linear("head_dist", model.head_distillation, config.classes, dim);
  }
}

/// A model of this shape with every parameter zero; throws ValueError if the configuration is impossible.
template <class T>
VisionTransformer<T> make_vit(const VitConfig& config) {
  config.validate();
  VisionTransformer<T> model;
  model.config = config;
  model.blocks.resize(static_cast<std::size_t>(config.depth()));
  for_each_parameter(model, [](const std::string&, auto& parameter, Index rows, Index cols) {
    parameter.setZero(rows, cols);
  });
  return model;
}

template <class T>
void VisionTransformer<T>::validate() const {
  config.validate();
  if (static_cast<Index>(blocks.size()) != config.depth()) {
    throw ShapeError("a model of " + std::to_string(blocks.size()) + " blocks with a configuration of " +
                     std::to_string(config.depth()));
  }
  const auto shape = [](Index rows, Index cols) {
    return std::to_string(rows) + " x " + std::to_string(cols);
  };
  for_each_parameter(*this, [&](const std::string& name, const auto& parameter, Index rows, Index cols) {
    if (parameter.rows() != rows || parameter.cols() != cols) {
      throw ShapeError(name + " is " + shape(parameter.rows(), parameter.cols()) +
                       ", the configuration asks for " + shape(rows, cols));
    }
    if (!parameter.allFinite()) throw ValueError(name + " holds NaN or infinite values");
  });
}

/// The same model with every parameter converted to another scalar type.
template <class To, class From>
VisionTransformer<To> cast(const VisionTransformer<From>& model) {
  VisionTransformer<To> result = make_vit<To>(model.config);
  std::vector<const From*> sources;
  for_each_parameter(model, [&](const std::string&, const auto& parameter, Index, Index) {
    sources.push_back(parameter.data());
  });
  std::size_t next = 0;
  for_each_parameter(result, [&](const std::string&, auto& parameter, Index, Index) {
    const From* source = sources[next++];
    for (Index i = 0; i < parameter.size(); ++i) parameter.data()[i] = static_cast<To>(source[i]);
  });
  return result;
}

}  // namespace vbp
