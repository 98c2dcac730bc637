#pragma once
/// The weights that training a Vision Transformer from nothing starts with.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

/// Draws weights as in the original Vision Transformer (Dosovitskiy et al. 2021): linear layers uniform after
/// Glorot and Bengio (2010), the patch embedding normal with variance 1 / inputs, positions and register
/// tokens normal with deviation 0.02; biases, the other tokens and the heads stay zero. See initialise_model.
template <class T>
void draw_weights(VisionTransformer<T>& model, std::uint64_t seed, double layer_scale) {
  Random random(seed);
  for_each_parameter(model, [&](const std::string& name, auto& values, Index rows, Index cols) {
    const auto draw = [&](auto&& next) {
      std::generate_n(values.data(), rows * cols, [&] { return static_cast<T>(next()); });
    };
    const auto normal = [&](double deviation) { draw([&] { return deviation * random.normal(); }); };
    if (name == "patch_embed.proj.weight") {
      normal(1.0 / std::sqrt(static_cast<double>(cols)));
    } else if (name == "pos_embed" || name == "reg_token") {
      normal(0.02);
    } else if (name.ends_with(".gamma")) {
      values.setConstant(static_cast<T>(layer_scale));
    } else if (name.find("norm") != std::string::npos && name.ends_with(".weight")) {
      values.setOnes();
    } else if (name.starts_with("blocks.") &&
               !std::remove_reference_t<decltype(values)>::IsVectorAtCompileTime) {
      const double bound = std::sqrt(6.0 / static_cast<double>(rows + cols));
      draw([&] { return bound * (2.0 * random.uniform() - 1.0); });
    }
  });
}

}  // namespace vbp::inline VBP_ABI
