/// The forward passes of all families: the one source file in which they are compiled.

#include "runner.hpp"

#include <variant>

#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/vit/forward.hpp"

namespace tool {

namespace {

using vbp::Matrix;
using vbp::MatrixView;

template <class Inference>
class RunnerOf final : public Runner {
 public:
  template <class M>
  RunnerOf(const M& model, int threads) : inference_(model, {.threads = threads}) {}

  Matrix<float> operator()(const MatrixView<float>& images) override { return inference_(images); }
  void run(const MatrixView<float>& images, float* outputs) override { inference_.run(images, outputs); }
  void observe(const MatrixView<float>& images, std::vector<vbp::Statistics<double>>& statistics,
               std::span<vbp::Covariance<float>> covariances, vbp::Index first) override {
    vbp::observe_hidden<float>(inference_, images, statistics, covariances, first);
  }
  Matrix<float> embedded(const MatrixView<float>& images) override { return inference_.embedded(images); }
  void record(vbp::LayerSeconds* seconds) override { inference_.record(seconds); }
  vbp::ThreadPool& pool() override { return inference_.pool(); }

 private:
  Inference inference_;
};

std::unique_ptr<Runner> make(const vbp::VisionTransformer<float>& model, int threads) {
  return std::make_unique<RunnerOf<vbp::VitInference<float>>>(model, threads);
}
std::unique_ptr<Runner> make(const vbp::ConvNext<float>& model, int threads) {
  return std::make_unique<RunnerOf<vbp::ConvNextInference<float>>>(model, threads);
}
std::unique_ptr<Runner> make(const vbp::SwinTransformer<float>& model, int threads) {
  return std::make_unique<RunnerOf<vbp::SwinInference<float>>>(model, threads);
}

}  // namespace

std::unique_ptr<Runner> make_runner(const Model& model, int threads) {
  return std::visit([&](const auto& of) { return make(of, threads); }, model);
}

}  // namespace tool
