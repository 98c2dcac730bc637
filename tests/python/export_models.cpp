/// export_models FOLDER: writes ONNX files of small models of every kind, dense and pruned, and beside each
/// NAME.onnx a NAME.safetensors with `inputs` and the `logits` that belong to them: of golden models what
/// PyTorch made of them, of all others what vbp does.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/convnext.hpp"
#include "support/gaussian.hpp"
#include "support/swin.hpp"
#include "support/tiny_vit.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/convnext/onnx.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/swin/onnx.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/models/vit/onnx.hpp"
#include "vbp/prune/plan.hpp"
#include "vbp/prune/pruner.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using vbp::Matrix;

const fs::path kGolden = fs::path(VBP_TEST_DIR) / "golden";

template <class Model>
vbp::Checkpoint<Model> load(const fs::path& path, const vbp::SettingTexts& options) {
  return vbp::load_checkpoint<Model>(path, options);
}

/// Half of each block's neurons at most, each block another share.
template <class Model>
void prune(Model& model) {
  vbp::PruningPlan plan;
  const auto names = vbp::block_names(model.config);
  for (std::size_t b = 0; b < names.size(); ++b) {
    plan.blocks.push_back({.name = names[b], .width = model.config.hidden_widths[b]});
    for (Index i = 0; i < plan.blocks[b].width; ++i) {
      if (i % static_cast<Index>(b + 2) != 0) plan.blocks[b].kept.push_back(i);
    }
  }
  vbp::shrink_blocks(plan, model.blocks);
}

struct Writer {
  fs::path folder;

  template <class Model>
  void write(const std::string& name, const vbp::Checkpoint<Model>& checkpoint, const Matrix<float>& images,
             const Matrix<double>& logits) const {
    vbp::io::AtomicFile file(folder / (name + ".onnx"));
    vbp::export_onnx(file, checkpoint);
    file.commit();
    const auto& config = checkpoint.model.config;
    vbp::io::SafetensorsWriter writer;
    const auto add = [&](const std::string& tensor, std::vector<Index> shape, const auto& values) {
      writer.add(tensor, std::move(shape), std::span(values.data(), static_cast<std::size_t>(values.size())));
    };
    add("inputs", {images.rows(), config.channels, config.image_size, config.image_size}, images);
    const Matrix<float> rounded = logits.cast<float>();
    add("logits", {logits.rows(), logits.cols()}, rounded);
    writer.write(folder / (name + ".safetensors"), {});
  }

  /// Against vbp's own logits.
  template <class Model>
  void write(const std::string& name, const vbp::Checkpoint<Model>& checkpoint) const {
    const Matrix<float> images = vbp_test::gaussian<float>(1, 3, checkpoint.model.config.image_elements());
    write(name, checkpoint, images,
          typename Model::Inference(checkpoint.model)(images).template cast<double>());
  }

  template <class Model>
  void write_pruned(const std::string& name, vbp::Checkpoint<Model> checkpoint) const {
    prune(checkpoint.model);
    write(name + ".pruned", checkpoint);
  }

  /// A drawn model in a checkpoint.
  template <class Model>
  void write_drawn(const std::string& name, Model model) const {
    vbp::Checkpoint<Model> checkpoint;
    checkpoint.preprocessing.image_size = model.config.image_size;
    checkpoint.model = std::move(model);
    write(name, checkpoint);
    write_pruned(name, checkpoint);
  }

  /// A golden model at the image size of its expected values, against these.
  template <class Load>
  void write_golden(const std::string& name, const fs::path& model, const fs::path& expected,
                    Load&& load) const {
    const vbp::io::SafetensorsFile file(expected);
    const Index size = file.tensor("inputs").shape.back();
    const auto checkpoint = load(model, {{"image_size", std::to_string(size)}});
    const auto matrix = [&](const char* tensor, const auto& values) {
      using T = typename std::remove_cvref_t<decltype(values)>::Scalar;
      const Index rows = file.tensor(tensor).shape.front();
      return Matrix<T>(Eigen::Map<const Matrix<T>>(values.data(), rows, values.size() / rows));
    };
    write(name, checkpoint, matrix("inputs", file.read_vector<float>("inputs")),
          matrix("logits", file.read_vector<double>("logits")));
    write_pruned(name, checkpoint);
  }

  /// All of one of make_*.py's folders; of a model at several sizes there are several expected files.
  template <class Load>
  void write_golden(const std::string& family, Load&& load) const {
    for (const auto& entry : fs::directory_iterator(kGolden / family)) {
      const std::string file = entry.path().filename();
      const std::size_t end = file.find(".expected.safetensors");
      if (end == std::string::npos) continue;
      const std::string name = file.substr(0, file.find('.'));
      write_golden(family + "." + file.substr(0, end), kGolden / family / (name + ".safetensors"),
                   entry.path(), load);
    }
  }
};

void run(const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  const Writer writer{folder};
  writer.write_golden("vit", load<vbp::VisionTransformer<float>>);
  writer.write_golden("convnext", load<vbp::ConvNext<float>>);
  writer.write_golden("swin", load<vbp::SwinTransformer<float>>);
  const auto write_hugging_face = [&](const std::string& name, const fs::path& from, auto&& load) {
    writer.write_golden("hf." + name, from / "model.safetensors", from / "expected.safetensors", load);
  };
  write_hugging_face("convnext", kGolden / "convnext" / "hf", load<vbp::ConvNext<float>>);
  write_hugging_face("swin", kGolden / "swin" / "hf", load<vbp::SwinTransformer<float>>);
  for (const auto& entry : fs::directory_iterator(kGolden / "hf")) {
    write_hugging_face(entry.path().filename(), entry.path(), load<vbp::VisionTransformer<float>>);
  }
  for (vbp_test::TinyVit tiny : vbp_test::tiny_vits()) {
    std::replace(tiny.name.begin(), tiny.name.end(), ' ', '_');
    tiny.config.channels = 3;
    writer.write_drawn("vit." + tiny.name, vbp_test::draw_vit<float>(tiny.config, 1));
  }
  vbp::ConvNextConfig config = vbp_test::small_convnext();
  writer.write_drawn("convnext.small", vbp_test::draw_convnext<float>(config, 1));
  config.classes = 0;
  config.head_epsilon = 0.1;
  writer.write_drawn("convnext.no_head", vbp_test::draw_convnext<float>(config, 2));
  vbp::SwinConfig swin = vbp_test::small_swin();
  writer.write_drawn("swin.small", vbp_test::draw_swin<float>(swin, 1));
  swin.pad_before_shift = true;
  swin.classes = 0;
  writer.write_drawn("swin.no_head", vbp_test::draw_swin<float>(swin, 2));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: export_models FOLDER\n";
    return 1;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "export_models: " << error.what() << '\n';
    return 1;
  }
}
