#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/shared.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/io/image_stream.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/vit/checkpoint.hpp"
#include "vbp/models/vit/cost.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;
using vbp::Vector;
using vbp::VisionTransformer;
using vbp::VitInference;

/// The largest difference in parts of the largest expected magnitude.
template <class A, class B>
double relative_difference(const A& actual, const B& expected) {
  return static_cast<double>((actual - expected).cwiseAbs().maxCoeff() / expected.cwiseAbs().maxCoeff());
}

/// Decoded images, so that several models see them without decoding again.
struct Images {
  std::vector<Matrix<float>> batches;
  std::vector<Index> labels;
  std::map<fs::path, Index> places;

  Images(std::vector<vbp::io::ImageEntry> entries, const vbp::io::Preprocessing& preprocessing) {
    vbp::io::ImageStream stream(std::move(entries), preprocessing, {.batch = 50, .strict = true},
                                vbp::Context(1));
    vbp::io::ImageBatch batch;
    while (stream.next(batch)) {
      batches.push_back(batch.pixels);
      labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
      for (const fs::path& path : batch.paths) places.emplace(path, static_cast<Index>(places.size()));
    }
  }
};

Matrix<float> logits_of(const VisionTransformer<float>& model, const Images& images) {
  VitInference<float> inference(model);
  Matrix<float> logits(static_cast<Index>(images.labels.size()), model.config.classes);
  Index row = 0;
  for (const Matrix<float>& batch : images.batches) {
    logits.middleRows(row, batch.rows()) = inference(batch);
    row += batch.rows();
  }
  return logits;
}

double top1(const Matrix<float>& logits, const Images& images) {
  Index correct = 0;
  for (Index i = 0; i < logits.rows(); ++i) {
    Index best = 0;
    logits.row(i).maxCoeff(&best);
    if (best == images.labels[static_cast<std::size_t>(i)]) ++correct;
  }
  return static_cast<double>(correct) / static_cast<double>(logits.rows());
}

}  // namespace

// Image files in, pruned models out, each step compared with PyTorch's on the same files.
TEST_CASE("the whole pipeline on a real ViT-S and photographs", "[vit][images][shared]") {
  VBP_REQUIRE_SHARED(shared);
  const vbp::VitCheckpoint checkpoint = vbp::load_checkpoint<vbp::VisionTransformer<float>>(
      shared / "models" / "vit_small_cifar10.safetensors");
  const vbp::io::SafetensorsFile reference(shared / "reference" / "vit_small_cifar10.safetensors");
  std::ifstream stream(shared / "reference" / "vit_small_cifar10.json");
  const nlohmann::json facts = nlohmann::json::parse(stream);
  const fs::path photographs = shared / "data" / "cifar10";

  // Calibration: the first 100 files of each class.
  std::vector<vbp::Statistics<double>> statistics = vbp::hidden_statistics(checkpoint.model.config);
  {
    const Images images(vbp::io::spread(vbp::io::find_images(photographs / "train"), 1000),
                        checkpoint.preprocessing);
    VitInference<float> inference(checkpoint.model);
    for (const Matrix<float>& batch : images.batches) {
      (void)vbp::observe_hidden<float>(inference, batch, statistics);
    }
  }
  Index agreeing = 0;
  const vbp::PruningPlan half = vbp::VariancePruner({.rate = 0.5}).plan(statistics);
  for (std::size_t b = 0; b < statistics.size(); ++b) {
    const std::string block = std::to_string(b);
    INFO("block " << block);
    CHECK(statistics[b].count() == 1000 * 37);
    CHECK(relative_difference(statistics[b].mean(), reference.read_vector<double>("mean." + block)) <= 1e-3);
    CHECK(relative_difference(statistics[b].variance(), reference.read_vector<double>("variance." + block)) <=
          1e-3);
    std::vector<std::uint8_t> kept(1536, 0);
    for (const Index neuron : half.blocks[b].kept) kept[static_cast<std::size_t>(neuron)] = 1;
    const auto expected = reference.read_array<std::uint8_t>("kept50." + block);
    for (std::size_t j = 0; j < kept.size(); ++j) agreeing += kept[j] == expected[j] ? 1 : 0;
  }
  CHECK(static_cast<double>(agreeing) >= 0.995 * 12 * 1536);

  // Pruning at every rate, evaluated on images that nothing was calibrated on.
  const Images images(
      vbp::io::labelled_images(photographs / "test", checkpoint.class_names, checkpoint.model.config.classes),
      checkpoint.preprocessing);
  REQUIRE(images.labels.size() == 1000);
  const auto& rates = facts.at("rates_vbp");
  REQUIRE(rates.size() == 7);
  for (const auto& expected : rates) {
    const double rate = expected.at("rate").get<double>();
    INFO("rate " << rate);
    VisionTransformer<float> model = checkpoint.model;
    vbp::prune(model.blocks, statistics, {.rate = rate});
    const auto widths = expected.at("widths").get<std::vector<Index>>();
    const vbp::VitConfig config = vbp::config_of(model);
    REQUIRE(widths.size() == config.hidden_widths.size());
    for (std::size_t b = 0; b < widths.size(); ++b) {
      CHECK(static_cast<double>(std::abs(config.hidden_widths[b] - widths[b])) <=
            0.01 * static_cast<double>(widths[b]));
    }
    CHECK(vbp::cost_of(config).parameters() == expected.at("params").get<std::int64_t>());
    const Matrix<float> logits = logits_of(model, images);
    CHECK(std::abs(top1(logits, images) - expected.at("top1").get<double>()) <= 0.007);
    if (rate > 0.0) continue;
    // Before anything is removed, the logits of the listed images themselves.
    const auto listed = facts.at("images").get<std::vector<std::string>>();
    const Matrix<float> theirs = reference.read_matrix<float>("logits", 100, 10);
    Matrix<float> ours(100, 10);
    for (std::size_t i = 0; i < listed.size(); ++i) {
      ours.row(static_cast<Index>(i)) = logits.row(images.places.at(shared / listed[i]));
    }
    CHECK(relative_difference(ours, theirs) <= 1e-3);
  }
}
