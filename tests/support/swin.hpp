#pragma once
/// Small Swin Transformers: with random weights, and the golden ones.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "support/catch.hpp"
#include "support/distance.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/swin/model.hpp"

namespace vbp_test {

/// Three stages whose maps have 7, 4 and 2 pixels a side: nine windows with padding, four without, and one
/// that is smaller than its table is for. Widths differ from block to block.
inline vbp::SwinConfig small_swin() {
  return {.architecture = "small",
          .image_size = 28,
          .dims = {6, 10, 16},
          .depths = {2, 2, 1},
          .heads = {2, 1, 4},
          .windows = {3, 2, 3},
          .hidden_widths = {24, 13, 40, 33, 64},
          .classes = 5};
}

/// Every parameter drawn, none of them what would do nothing; the same values for every T up to rounding.
template <class T>
vbp::SwinTransformer<T> draw_swin(const vbp::SwinConfig& config, std::uint64_t seed) {
  vbp::SwinTransformer<T> model = vbp::make_model<vbp::SwinTransformer<T>>(config);
  vbp::Random random(seed);
  vbp::for_each_parameter(model, [&](const std::string& name, auto& parameter, vbp::Index, vbp::Index cols) {
    const bool vector = parameter.IsVectorAtCompileTime;
    const bool table = name.ends_with("table");
    const double center = vector && name.ends_with(".weight") ? 1.0 : 0.0;
    const double spread = vector ? 0.3 : table ? 0.7 : 1.2 / std::sqrt(static_cast<double>(cols));
    for (vbp::Index i = 0; i < parameter.size(); ++i) {
      parameter.data()[i] = static_cast<T>(center + spread * random.normal());
    }
  });
  return model;
}

inline const std::filesystem::path kSwinGolden = std::filesystem::path(VBP_TEST_DIR) / "golden" / "swin";

/// A golden network of make_swin.py: its configuration is written down here, its weights are read by name.
inline vbp::SwinTransformer<float> golden_swin(const std::string& name) {
  vbp::SwinConfig config{.architecture = "swin_golden",
                         .image_size = 32,
                         .dims = {6, 12, 24},
                         .depths = {2, 2, 1},
                         .heads = {2, 2, 4},
                         .windows = {4, 4, 2},
                         .hidden_widths = {24, 24, 48, 48, 96},
                         .classes = 7};
  if (name == "widths") {
    config.image_size = 28;
    config.windows = {3, 3, 2};
    config.hidden_widths = {17, 40, 5, 33, 64};
  } else if (name == "options") {
    config.image_size = 24;
    config.patch_size = 3;
    config.channels = 1;
    config.heads = {1, 3, 4};
    config.windows = {3, 4, 2};
    config.qkv_bias = false;
    config.hidden_widths = {12, 12, 24, 24, 48};
    config.activation = vbp::Activation::gelu_tanh;
    config.epsilon = config.embedding_epsilon = 0.01;
  }
  vbp::SwinTransformer<float> model = vbp::make_model<vbp::SwinTransformer<float>>(config);
  const vbp::io::SafetensorsFile file(kSwinGolden / (name + ".safetensors"));
  vbp::for_each_parameter(model, [&](const std::string& tensor, auto& parameter, vbp::Index, vbp::Index) {
    const vbp::Vector<float> values = file.read_vector<float>(tensor);
    REQUIRE(values.size() == parameter.size());
    std::copy(values.begin(), values.end(), parameter.data());
  });
  return model;
}

/// What PyTorch made of it: a tensor of NAME.expected.safetensors, all dimensions but the last as rows.
inline vbp::Matrix<double> golden_swin_tensor(const std::string& name, const std::string& tensor) {
  const vbp::io::SafetensorsFile file(kSwinGolden / (name + ".expected.safetensors"));
  const vbp::Vector<double> values = tensor == "inputs"
                                         ? vbp::Vector<double>(file.read_vector<float>(tensor).cast<double>())
                                         : file.read_vector<double>(tensor);
  const vbp::Index columns = tensor == "inputs" ? values.size() / file.tensor(tensor).shape.front()
                                                : file.tensor(tensor).shape.back();
  return Eigen::Map<const vbp::Matrix<double>>(values.data(), values.size() / columns, columns);
}

}  // namespace vbp_test
