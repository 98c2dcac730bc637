#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/models/convnext/backward.hpp"
#include "vbp/models/convnext/forward.hpp"
#include "vbp/models/swin/backward.hpp"
#include "vbp/models/swin/forward.hpp"
#include "vbp/models/vit/backward.hpp"
#include "vbp/models/vit/forward.hpp"
#include "vbp/pipeline/training.hpp"
#include "vbp/train/mean_gradient.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

template <class M>
class AnyTrainerOf final : public AnyTrainer {
 public:
  AnyTrainerOf(const M& student, const M* teacher, const TrainingOptions& options, Index images,
               Context context)
      : trainer_(student, teacher, options, images, std::move(context)) {}

  bool step(const std::function<bool(TrainingBatch&)>& next, TrainingStep& done) override {
    return trainer_.step(next, done);
  }
  void end_epoch() override { trainer_.end_epoch(); }
  TrainingProgress& progress() override { return trainer_.progress(); }
  AnyModel::Variant model() const override { return trainer_.model(); }
  Index bytes() const override { return trainer_.bytes(); }
  void save(const std::filesystem::path& path, io::Metadata metadata) override {
    trainer_.save(path, std::move(metadata));
  }
  io::Metadata restore(const std::filesystem::path& path) override { return trainer_.restore(path); }

 private:
  Trainer<M> trainer_;
};

template <class M>
class AnyMeanGradientOf final : public AnyMeanGradient {
 public:
  AnyMeanGradientOf(const M& model, Context context) : gradient_(model, {}, std::move(context)) {}

  void observe(const MatrixView<float>& images, const std::vector<Index>& labels) override {
    gradient_.observe(images, labels);
  }
  std::vector<Mlp<double>> mlps() const override {
    const auto gradient = gradient_.gradient();
    return {gradient.blocks.begin(), gradient.blocks.end()};
  }

 private:
  MeanGradient<M> gradient_;
};

}  // namespace detail

VBP_FUNCTION std::unique_ptr<AnyTrainer> make_trainer(const AnyModel& student, const AnyModel* teacher,
                                                      const TrainingOptions& options, Index images,
                                                      Context context) {
  return std::visit(
      [&]<class M>(const M& model) -> std::unique_ptr<AnyTrainer> {
        const M* const by = teacher == nullptr ? nullptr : teacher->get_if<M>();
        if (teacher != nullptr && by == nullptr) {
          throw ValueError("the teacher is a " + teacher->description().family + "; the teacher of a " +
                           student.description().family + " must be one");
        }
        return std::make_unique<detail::AnyTrainerOf<M>>(model, by, options, images, std::move(context));
      },
      student.variant());
}

VBP_FUNCTION Index activation_bytes(const AnyModel& model, Index images, bool recompute) {
  return std::visit([&](const auto& of) -> Index { return activation_bytes(of, images, recompute); },
                    model.variant());
}

VBP_FUNCTION std::unique_ptr<AnyMeanGradient> make_mean_gradient(const AnyModel& model, Context context) {
  return std::visit(
      [&]<class M>(const M& of) -> std::unique_ptr<AnyMeanGradient> {
        return std::make_unique<detail::AnyMeanGradientOf<M>>(of, std::move(context));
      },
      model.variant());
}

}  // namespace vbp::inline VBP_ABI
