#pragma once
/// The parameters of a Vision Transformer, as plain Eigen matrices in PyTorch's layout.

#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/types.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/models/stage_model.hpp"
#include "vbp/models/transformer_block.hpp"
#include "vbp/models/vit/config.hpp"

namespace vbp::inline VBP_ABI {

template <class T>
class VitInference;
template <class T>
class VitSteps;
namespace detail {
template <class T>
class VitBackward;
}

/// One block on the tokens of an image.
template <class T>
using VitBlock = TransformerBlock<T>;

/// A Vision Transformer's configuration and weights; VitInference runs it.
template <class T>
struct VisionTransformer {
  using Scalar = T;
  using Config = VitConfig;
  using Inference = VitInference<T>;
  using Steps = VitSteps<T>;
  using Backward = detail::VitBackward<T>;

  VitConfig config;
  Linear<T> patch_embed;  ///< [dim, channels * patch * patch], a pixel's index runs channel, row, column
  Vector<T> class_token;
  Vector<T> distillation_token;
  Matrix<T> register_tokens;  ///< [registers, dim]
  Matrix<T> positions;  ///< [tokens or patches, dim]: class, distillation, registers, patches row by row
  std::vector<VitBlock<T>> blocks;
  LayerNorm<T> norm;
  LayerNorm<T> fc_norm;
  Linear<T> head;               ///< [classes, pooled features]
  Linear<T> head_distillation;  ///< of the distillation token

  /// The name of a block, as in checkpoints, reports and exclusions.
  static std::string block_name(Index block) { return "blocks." + std::to_string(block); }

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const { detail::require_valid(*this); }
};

/// The blocks' names, in order: those of reports, plans and calibration files.
inline std::vector<std::string> block_names(const VitConfig& config) {
  std::vector<std::string> names;
  for (Index i = 0; i < config.depth(); ++i) names.push_back(VisionTransformer<float>::block_name(i));
  return names;
}

/// There are no stages: see the other stages_of.
inline std::vector<Stage> stages_of(const VitConfig&) {
  return {};
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
    const Index hidden = block.fc1.weight.rows();
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

}  // namespace vbp::inline VBP_ABI
