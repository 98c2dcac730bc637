#pragma once
/// What the models of all families have in common: made of a configuration, checked, converted.

#include <cstddef>
#include <string>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/parameters.hpp"

namespace vbp::inline VBP_ABI {

/// The model's configuration with the hidden widths that its weights have. A model's own config.hidden_widths
/// says how many blocks there are; their widths it says only as long as there are no weights.
template <class Model>
typename Model::Config config_of(const Model& model) {
  typename Model::Config config = model.config;
  config.hidden_widths.clear();
  for (const auto& block : model.blocks) config.hidden_widths.push_back(block.fc1.weight.rows());
  return config;
}

namespace detail {

/// Gives the model the blocks and transitions of its configuration. Of the weights only the hidden widths are
/// set, which for_each_parameter reads: nothing is allocated for them yet.
template <class Model>
void set_blocks(Model& model) {
  model.blocks.resize(model.config.hidden_widths.size());
  for (std::size_t i = 0; i < model.blocks.size(); ++i) {
    model.blocks[i].fc1.weight.resize(model.config.hidden_widths[i], 0);
  }
  if constexpr (requires { model.transitions; }) {
    model.transitions.resize(static_cast<std::size_t>(model.config.stages() - 1));
  }
}

inline void require_count(std::size_t actual, Index expected, const char* unit) {
  if (static_cast<Index>(actual) == expected) return;
  throw ShapeError("a model of " + std::to_string(actual) + " " + unit + " with a configuration of " +
                   std::to_string(expected));
}

/// Throws ValueError or ShapeError, naming the parameter, if configuration and weights contradict each other.
template <class Model>
void require_valid(const Model& model) {
  require_count(model.blocks.size(), model.config.depth(), "blocks");
  config_of(model).validate();
  if constexpr (requires { model.transitions; }) {
    require_count(model.transitions.size() + 1, model.config.stages(), "stages");
  }
  require_parameters(model);
}

}  // namespace detail

/// A model of this shape with every parameter zero; throws ValueError if the configuration is impossible.
template <class Model>
Model make_model(const typename Model::Config& config) {
  config.validate();
  Model model;
  model.config = config;
  detail::set_blocks(model);
  set_parameters_zero(model);
  return model;
}

/// The same model with every parameter converted to another scalar type.
template <class To, template <class> class Model, class From>
requires ModelOf < Model<From>,
typename Model<From>::Config > Model<To> cast(const Model<From>& model) {
  auto result = make_model<Model<To>>(config_of(model));
  copy_parameters(model, result);
  return result;
}

}  // namespace vbp::inline VBP_ABI
