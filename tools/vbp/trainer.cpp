/// The backward passes of all families: the one source file in which they are compiled.

#include "trainer.hpp"

#include <utility>
#include <variant>

#include "vbp/models/convnext/backward.hpp"
#include "vbp/models/initialise.hpp"
#include "vbp/models/swin/backward.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/train/mean_gradient.hpp"

namespace tool {

namespace {

using vbp::Index;

template <class M>
class TrainerOf final : public Trainer {
 public:
  TrainerOf(const M& student, const M* teacher, const vbp::TrainingOptions& options, Index images)
      : trainer_(student, teacher, options, images) {}

  bool step(const std::function<bool(vbp::TrainingBatch&)>& next, vbp::TrainingStep& done) override {
    return trainer_.step(next, done);
  }
  void end_epoch() override { trainer_.end_epoch(); }
  vbp::TrainingProgress& progress() override { return trainer_.progress(); }
  Model model() const override { return trainer_.model(); }
  Index bytes() const override { return trainer_.bytes(); }
  void save(const std::filesystem::path& path, vbp::io::Metadata metadata) override {
    trainer_.save(path, std::move(metadata));
  }
  vbp::io::Metadata restore(const std::filesystem::path& path) override { return trainer_.restore(path); }

 private:
  vbp::Trainer<M> trainer_;
};

template <class M>
class MeanGradientOf final : public MeanGradient {
 public:
  MeanGradientOf(const M& model, int threads) : gradient_(model, {.threads = threads}) {}

  void observe(const vbp::MatrixView<float>& images, const std::vector<Index>& labels) override {
    gradient_.observe(images, labels);
  }
  std::vector<vbp::Mlp<double>> mlps() const override {
    const auto gradient = gradient_.gradient();
    return {gradient.blocks.begin(), gradient.blocks.end()};
  }

 private:
  vbp::MeanGradient<M> gradient_;
};

using Vit = vbp::VisionTransformer<float>;
using ConvNext = vbp::ConvNext<float>;
using Swin = vbp::SwinTransformer<float>;

template <class... LayerScale>
Vit initialised(const vbp::VitConfig& config, std::uint64_t seed, LayerScale... layer_scale) {
  return vbp::initialise_vit<float>(config, seed, layer_scale...);
}
template <class... LayerScale>
ConvNext initialised(const vbp::ConvNextConfig& config, std::uint64_t seed, LayerScale... layer_scale) {
  return vbp::initialise_convnext<float>(config, seed, layer_scale...);
}
template <class... LayerScale>
Swin initialised(const vbp::SwinConfig& config, std::uint64_t seed, LayerScale...) {
  return vbp::initialise_swin<float>(config, seed);
}

}  // namespace

std::unique_ptr<Trainer> make_trainer(const Model& student, const Model* teacher,
                                      const vbp::TrainingOptions& options, Index images) {
  return std::visit(
      [&]<class M>(const M& of) -> std::unique_ptr<Trainer> {
        const M* const by = teacher == nullptr ? nullptr : &std::get<M>(*teacher);
        return std::make_unique<TrainerOf<M>>(of, by, options, images);
      },
      student);
}

Index activation_bytes(const Model& model, Index images, bool recompute) {
  return std::visit([&](const auto& of) { return vbp::activation_bytes(of, images, recompute); }, model);
}

void initialise(Model& model, std::uint64_t seed, std::optional<double> layer_scale) {
  std::visit(
      [&](auto& of) {
        of = layer_scale ? initialised(of.config, seed, *layer_scale) : initialised(of.config, seed);
      },
      model);
}

std::unique_ptr<MeanGradient> make_mean_gradient(const Model& model, int threads) {
  return std::visit(
      [&]<class M>(const M& of) -> std::unique_ptr<MeanGradient> {
        return std::make_unique<MeanGradientOf<M>>(of, threads);
      },
      model);
}

}  // namespace tool
