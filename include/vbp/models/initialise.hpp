#pragma once
/// The weights that training from nothing starts with.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/convnext/config.hpp"
#include "vbp/models/convnext/model.hpp"
#include "vbp/models/swin/config.hpp"
#include "vbp/models/swin/model.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp::inline VBP_ABI {

/// A model of this shape with weights as in the original Vision Transformer (Dosovitskiy et al. 2021): linear
/// layers uniform after Glorot and Bengio (2010), the patch embedding normal with variance 1 / inputs,
/// positions and register tokens normal with deviation 0.02; biases, the other tokens and the heads zero;
/// layer scales `layer_scale`. The same seed gives the same model. Throws ValueError if the configuration is
/// impossible.
template <class T>
VisionTransformer<T> initialise_vit(const VitConfig& config, std::uint64_t seed, double layer_scale = 1e-5) {
  VisionTransformer<T> model = make_vit<T>(config);
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
  return model;
}

namespace detail {

/// Matrices normal with deviation 0.02, as good as never beyond the two at which PyTorch's trunc_normal_ cuts
/// it; norms one, biases zero, layer scales `layer_scale`.
template <class Model>
void initialise_normal(Model& model, std::uint64_t seed, double layer_scale) {
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

}  // namespace detail

/// A model of this shape with weights as its authors begin with (Liu et al. 2022): linear layers and
/// convolutions normal with deviation 0.02, biases zero, layer scales `layer_scale`. The same seed gives the
/// same model. Throws ValueError if the configuration is impossible.
template <class T>
ConvNext<T> initialise_convnext(const ConvNextConfig& config, std::uint64_t seed, double layer_scale = 1e-6) {
  ConvNext<T> model = make_convnext<T>(config);
  detail::initialise_normal(model, seed, layer_scale);
  return model;
}

/// The same for a Swin Transformer (Liu et al. 2021), its tables of biases too. The patch embedding is no
/// exception: its size is what the norm behind it takes away.
template <class T>
SwinTransformer<T> initialise_swin(const SwinConfig& config, std::uint64_t seed) {
  SwinTransformer<T> model = make_swin<T>(config);
  detail::initialise_normal(model, seed, 1.0);
  return model;
}

}  // namespace vbp::inline VBP_ABI
