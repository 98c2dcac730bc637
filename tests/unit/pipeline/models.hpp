#pragma once
/// What the tests of the pipeline share: small models of every family, and images for them.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/image_source.hpp"

namespace vbp_test {

namespace fs = std::filesystem;

inline const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden";

/// One small model a family, of images of 3 channels and 7 classes.
inline std::vector<fs::path> model_files() {
  return {kGolden / "vit" / "plain.safetensors", kGolden / "convnext" / "plain.safetensors",
          kGolden / "swin" / "plain.safetensors"};
}

inline vbp::AnyModel small_vit() {
  return vbp::load_model(kGolden / "vit" / "plain.safetensors");
}

/// Pixels as normalised images have them: other ones for each seed, and the same first rows for any count.
inline vbp::Matrix<float> random_pixels(const vbp::AnyModel& model, vbp::Index count,
                                        std::uint64_t seed = 7) {
  vbp::Random random(seed);
  vbp::Matrix<float> pixels(count, model.description().image_elements);
  std::generate_n(pixels.data(), pixels.size(), [&] { return static_cast<float>(random.normal()); });
  return pixels;
}

/// Labelled images: the classes in turn.
inline vbp::ImageSource random_images(const vbp::AnyModel& model, vbp::Index count, std::uint64_t seed = 7) {
  std::vector<vbp::Index> labels;
  for (vbp::Index i = 0; i < count; ++i) labels.push_back(i % model.description().classes);
  return vbp::images_in_memory(random_pixels(model, count, seed), labels);
}

/// The context that is cancelled once `updates` updates of progress were reported.
inline vbp::Context cancelled_after(int updates) {
  const auto seen = std::make_shared<int>(0);
  return vbp::Context(vbp::ContextOptions{.threads = 1,
                                          .progress = [seen](const vbp::ProgressUpdate&) { ++*seen; },
                                          .cancelled = [seen, updates] { return *seen > updates; }});
}

}  // namespace vbp_test
