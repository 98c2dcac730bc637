#pragma once
/// The weights that training from nothing starts with.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/stage_model.hpp"

namespace vbp::inline VBP_ABI {

/// Draws weights as the authors of Swin Transformers (Liu et al. 2021) and ConvNeXts (Liu et al. 2022) begin
/// with: linear layers, convolutions and tables of biases normal with deviation 0.02, norms one, biases zero.
/// PyTorch's trunc_normal_ cuts at two, which a draw practically never reaches. The patch embedding is no
/// exception: the norm behind it removes its size. See initialise_model.
template <StageModelType Model>
void draw_weights(Model& model, std::uint64_t seed, double layer_scale) {
  using T = typename Model::Scalar;
  Random random(seed);
  for_each_parameter(model, [&](const std::string& name, auto& values, Index rows, Index cols) {
    if (name.ends_with(".gamma")) {
      values.setConstant(static_cast<T>(layer_scale));
    } else if (!std::remove_reference_t<decltype(values)>::IsVectorAtCompileTime) {
      std::generate_n(values.data(), rows * cols, [&] { return static_cast<T>(0.02 * random.normal()); });
    } else if (name.ends_with(".weight")) {
      values.setOnes();
    }
  });
}

/// A model of this shape with the weights that its authors begin with; a Vision Transformer needs
/// vit/initialise.hpp. Layer scales are `layer_scale`, or the configuration's kFirstLayerScale. The same seed
/// gives the same model. Throws ValueError if the configuration is impossible.
template <class Model>
Model initialise_model(const typename Model::Config& config, std::uint64_t seed,
                       std::optional<double> layer_scale = {}) {
  Model model = make_model<Model>(config);
  draw_weights(model, seed, layer_scale.value_or(Model::Config::kFirstLayerScale));
  return model;
}

}  // namespace vbp::inline VBP_ABI
