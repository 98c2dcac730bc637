#pragma once
/// Vision Transformers of a few hundred weights that between them have everything a configuration can ask
/// for.

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/vit/config.hpp"
#include "vbp/models/vit/model.hpp"

namespace vbp_test {

struct TinyVit {
  std::string name;
  vbp::VitConfig config;
};

inline vbp::VitConfig tiny_config() {
  vbp::VitConfig config;
  config.image_size = 6;
  config.patch_size = 2;
  config.channels = 2;
  config.dim = 6;
  config.heads = 2;
  config.hidden_widths = {7, 5};
  config.classes = 3;
  return config;
}

/// One configuration a variant of the architecture.
inline std::vector<TinyVit> tiny_vits() {
  using vbp::Pooling;
  std::vector<TinyVit> all;
  const auto add = [&](const char* name, auto&& change) {
    all.push_back({name, tiny_config()});
    change(all.back().config);
  };
  add("class token", [](auto&) {});
  add("tanh approximation of GELU", [](auto& c) { c.activation = vbp::Activation::gelu_tanh; });
  add("layer scale", [](auto& c) { c.layer_scale = true; });
  add("distillation token", [](auto& c) { c.distillation_token = true; });
  add("register tokens without positions", [](auto& c) {
    c.register_tokens = 2;
    c.position_covers_prefix = false;
    c.layer_scale = true;
  });
  add("register tokens with positions", [](auto& c) { c.register_tokens = 2; });
  add("average", [](auto& c) { c.pooling = Pooling::average; });
  add("average, norm after pooling", [](auto& c) {
    c.pooling = Pooling::average;
    c.class_token = false;
    c.norm = false;
    c.fc_norm = true;
  });
  add("class token and average", [](auto& c) {
    c.pooling = Pooling::class_token_and_average;
    c.fc_norm = true;
  });
  add("no norm, no bias of q, k and v", [](auto& c) {
    c.norm = false;
    c.qkv_bias = false;
  });
  add("no head", [](auto& c) { c.classes = 0; });
  add("no head, distillation token", [](auto& c) {
    c.classes = 0;
    c.distillation_token = true;
  });
  return all;
}

/// The model with every parameter drawn: none is zero or one, so that a term left out anywhere shows.
template <class T>
vbp::VisionTransformer<T> draw_vit(const vbp::VitConfig& config, std::uint64_t seed) {
  auto model = vbp::make_model<vbp::VisionTransformer<T>>(config);
  vbp::Random random(seed);
  vbp::for_each_parameter(model, [&](const std::string& name, auto& values, vbp::Index, vbp::Index cols) {
    const bool is_scale =
        name.ends_with("gamma") || (name.find("norm") != std::string::npos && name.ends_with("weight"));
    const double deviation = cols > 1 ? 1.0 / std::sqrt(static_cast<double>(cols)) : 0.3;
    for (vbp::Index i = 0; i < values.size(); ++i) {
      values.data()[i] = static_cast<T>((is_scale ? 1.0 : 0.0) + deviation * random.normal());
    }
  });
  return model;
}

}  // namespace vbp_test
