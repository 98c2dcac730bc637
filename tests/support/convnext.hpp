#pragma once
/// Small ConvNeXts: with random weights, and the golden ones.

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/distance.hpp"
#include "support/gaussian.hpp"
#include "vbp/core/random.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/model.hpp"

namespace vbp_test {

/// Three stages whose maps have 6, 3 and 1 pixels a side, and widths that differ from block to block.
inline vbp::ConvNextConfig small_convnext() {
  return {.architecture = "small",
          .image_size = 24,
          .dims = {6, 10, 16},
          .depths = {1, 2, 1},
          .hidden_widths = {24, 40, 33, 64},
          .classes = 5};
}

/// Every parameter drawn, none of them what would do nothing; the same values for every T up to rounding.
template <class T>
vbp::ConvNext<T> draw_convnext(const vbp::ConvNextConfig& config, std::uint64_t seed) {
  vbp::ConvNext<T> model = vbp::make_model<vbp::ConvNext<T>>(config);
  vbp::Random random(seed);
  vbp::for_each_parameter(model, [&](const std::string& name, auto& parameter, vbp::Index, vbp::Index cols) {
    const bool weight = name.ends_with(".weight");
    const double center = weight && cols == 1 ? 1.0 : 0.0;
    const double spread = cols == 1 ? 0.3 : 1.2 / std::sqrt(static_cast<double>(cols));
    for (vbp::Index i = 0; i < parameter.size(); ++i) {
      parameter.data()[i] = static_cast<T>(center + spread * random.normal());
    }
  });
  return model;
}

inline const std::filesystem::path kConvNextGolden =
    std::filesystem::path(VBP_TEST_DIR) / "golden" / "convnext";

/// A golden network of make_convnext.py: its configuration is written down here, its weights are read by
/// name.
inline vbp::ConvNext<float> golden_convnext(const std::string& name) {
  vbp::ConvNextConfig config{.architecture = "convnext_golden",
                             .image_size = 32,
                             .dims = {8, 12, 20, 24},
                             .depths = {1, 1, 2, 1},
                             .hidden_widths = {32, 48, 80, 80, 96},
                             .classes = 7};
  if (name == "widths") {
    config.image_size = 46;
    config.hidden_widths = {17, 40, 5, 33, 64};
  } else if (name == "options") {
    config.image_size = 24;
    config.patch_size = 3;
    config.channels = 1;
    config.layer_scale = false;
    config.activation = vbp::Activation::gelu_tanh;
    config.epsilon = config.head_epsilon = 0.01;
  }
  vbp::ConvNext<float> model = vbp::make_model<vbp::ConvNext<float>>(config);
  const vbp::io::SafetensorsFile file(kConvNextGolden / (name + ".safetensors"));
  vbp::for_each_parameter(model, [&](const std::string& tensor, auto& parameter, vbp::Index, vbp::Index) {
    const vbp::Vector<float> values = file.read_vector<float>(tensor);
    REQUIRE(values.size() == parameter.size());
    std::copy(values.begin(), values.end(), parameter.data());
  });
  return model;
}

/// What PyTorch made of it: a tensor of NAME.expected.safetensors, all dimensions but the last as rows.
inline vbp::Matrix<double> golden_convnext_tensor(const std::string& name, const std::string& tensor) {
  const vbp::io::SafetensorsFile file(kConvNextGolden / (name + ".expected.safetensors"));
  const vbp::Vector<double> values = tensor == "inputs"
                                         ? vbp::Vector<double>(file.read_vector<float>(tensor).cast<double>())
                                         : file.read_vector<double>(tensor);
  const vbp::Index columns = tensor == "inputs" ? values.size() / file.tensor(tensor).shape.front()
                                                : file.tensor(tensor).shape.back();
  return Eigen::Map<const vbp::Matrix<double>>(values.data(), values.size() / columns, columns);
}

}  // namespace vbp_test
