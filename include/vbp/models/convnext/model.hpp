#pragma once
/// The parameters of a ConvNeXt, as plain Eigen matrices in PyTorch's layout.

#include <string>
#include <type_traits>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/layers.hpp"
#include "vbp/models/parameters.hpp"

namespace vbp::inline VBP_ABI {

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

/// What lies between two stages: a layer norm of each pixel and a 2x2 convolution of stride 2.
template <class T>
struct ConvNextDownsampling {
  LayerNorm<T> norm;
  Linear<T> reduction;  ///< [dim after, dim before * 2 * 2]: an input's index runs channel, row, column
};

/// A ConvNeXt's configuration and weights; inference.hpp runs it.
template <class T>
struct ConvNext {
  using Scalar = T;

  ConvNextConfig config;
  Linear<T> stem;  ///< [first dim, channels * patch * patch], a pixel's index runs channel, row, column
  LayerNorm<T> stem_norm;
  std::vector<ConvNextDownsampling<T>> downsamplings;  ///< before each stage but the first
  std::vector<ConvNextBlock<T>> blocks;                ///< stage after stage
  LayerNorm<T> head_norm;                              ///< of the mean over the last stage's pixels
  Linear<T> head;

  /// Reads config.hidden_widths off the blocks; to be called after their MLPs were changed.
  void update_widths() {
    config.hidden_widths.clear();
    for (const ConvNextBlock<T>& block : blocks) config.hidden_widths.push_back(block.fc1.weight.rows());
  }

  /// Throws ValueError or ShapeError, naming the parameter, if config and weights contradict each other.
  void validate() const {
    config.validate();
    if (static_cast<Index>(blocks.size()) != config.depth() ||
        static_cast<Index>(downsamplings.size()) != config.stages() - 1) {
      throw ShapeError("a model of " + std::to_string(blocks.size()) + " blocks and " +
                       std::to_string(downsamplings.size() + 1) + " stages with a configuration of " +
                       std::to_string(config.depth()) + " and " + std::to_string(config.stages()));
    }
    require_parameters(*this);
  }
};

/// The blocks' names, in order: those of checkpoints, reports, plans and calibration files.
inline std::vector<std::string> block_names(const ConvNextConfig& config) {
  std::vector<std::string> names;
  for (Index stage = 0; stage < config.stages(); ++stage) {
    for (Index i = 0; i < config.depths[static_cast<std::size_t>(stage)]; ++i) {
      names.push_back("stages." + std::to_string(stage) + ".blocks." + std::to_string(i));
    }
  }
  return names;
}

/// Calls visit(name, parameter, rows, cols) for every parameter that the configuration asks for, in the
/// order in which a forward pass meets them, with timm's tensor name and the shape it must have (cols is 1
/// for a vector). The one place that knows which parameters there are.
template <ModelOf<ConvNextConfig> Model, class Visitor>
void for_each_parameter(Model& model, Visitor&& visit) {
  const ConvNextConfig& config = model.config;
  ParameterNames<std::remove_reference_t<Visitor>> name_of{visit};
  name_of.linear("stem.0", model.stem, config.dim(0), config.patch_elements());
  name_of.layer_norm("stem.1", model.stem_norm, config.dim(0));
  const std::vector<std::string> names = block_names(config);
  for (Index stage = 0, b = 0; stage < config.stages(); ++stage) {
    const Index dim = config.dim(stage);
    if (stage > 0) {
      auto& downsampling = model.downsamplings[static_cast<std::size_t>(stage - 1)];
      const std::string name = "stages." + std::to_string(stage) + ".downsample";
      name_of.layer_norm(name + ".0", downsampling.norm, config.dim(stage - 1));
      name_of.linear(name + ".1", downsampling.reduction, dim, 4 * config.dim(stage - 1));
    }
    for (; b < config.first_block(stage + 1); ++b) {
      const auto i = static_cast<std::size_t>(b);
      auto& block = model.blocks[i];
      const Index hidden = config.hidden_widths[i];
      name_of.linear(names[i] + ".conv_dw", block.depthwise, dim, 49);
      name_of.layer_norm(names[i] + ".norm", block.norm, dim);
      name_of.linear(names[i] + ".mlp.fc1", block.fc1, hidden, dim);
      name_of.linear(names[i] + ".mlp.fc2", block.fc2, dim, hidden);
      if (config.layer_scale) name_of.vector(names[i] + ".gamma", block.layer_scale, dim);
    }
  }
  name_of.layer_norm("head.norm", model.head_norm, config.dims.back());
  if (config.classes > 0) name_of.linear("head.fc", model.head, config.classes, config.dims.back());
}

/// A model of this shape with every parameter zero; throws ValueError if the configuration is impossible.
template <class T>
ConvNext<T> make_convnext(const ConvNextConfig& config) {
  config.validate();
  ConvNext<T> model;
  model.config = config;
  model.blocks.resize(static_cast<std::size_t>(config.depth()));
  model.downsamplings.resize(static_cast<std::size_t>(config.stages() - 1));
  set_parameters_zero(model);
  return model;
}

/// The same model with every parameter converted to another scalar type.
template <class To, class From>
ConvNext<To> cast(const ConvNext<From>& model) {
  ConvNext<To> result = make_convnext<To>(model.config);
  copy_parameters(model, result);
  return result;
}

}  // namespace vbp::inline VBP_ABI
