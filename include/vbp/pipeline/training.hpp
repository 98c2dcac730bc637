#pragma once
/// Trains a model of any family, one optimiser step at a time. finetune() in pipeline/finetune.hpp does a
/// whole run.

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/prune/mlp.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp::inline VBP_ABI {

/// vbp::Trainer for a model whose family is known only at run time.
class AnyTrainer {
 public:
  AnyTrainer() = default;
  AnyTrainer(const AnyTrainer&) = delete;
  AnyTrainer& operator=(const AnyTrainer&) = delete;
  virtual ~AnyTrainer() = default;

  virtual bool step(const std::function<bool(TrainingBatch&)>& next, TrainingStep& done) = 0;
  virtual void end_epoch() = 0;
  virtual TrainingProgress& progress() = 0;
  /// The weights for use: their moving average if the options ask for one.
  virtual AnyModel::Variant model() const = 0;
  /// Bytes that weights, gradients, optimiser state, activations and teacher take now.
  virtual Index bytes() const = 0;
  virtual void save(const std::filesystem::path& path, io::Metadata metadata) = 0;
  virtual io::Metadata restore(const std::filesystem::path& path) = 0;
};

/// `images` is the number of images in an epoch. `teacher` may be null: then there is no teacher. Throws
/// ValueError for a teacher of another family, and whatever the constructor of Trainer throws.
VBP_FUNCTION std::unique_ptr<AnyTrainer> make_trainer(const AnyModel& student, const AnyModel* teacher,
                                                      const TrainingOptions& options, Index images,
                                                      Context context = {});

/// Bytes that the activations of a batch of `images` take in training. `recompute` is
/// TrainingOptions::recompute.
VBP_FUNCTION Index activation_bytes(const AnyModel& model, Index images, bool recompute);

/// vbp::MeanGradient for a model whose family is known only at run time.
class AnyMeanGradient {
 public:
  AnyMeanGradient() = default;
  AnyMeanGradient(const AnyMeanGradient&) = delete;
  AnyMeanGradient& operator=(const AnyMeanGradient&) = delete;
  virtual ~AnyMeanGradient() = default;

  virtual void observe(const MatrixView<float>& images, const std::vector<Index>& labels) = 0;
  /// The gradient with respect to the MLP of each block, in order.
  virtual std::vector<Mlp<double>> mlps() const = 0;
};

/// `model` must outlive the result. Throws ValueError for a model without a classification head.
VBP_FUNCTION std::unique_ptr<AnyMeanGradient> make_mean_gradient(const AnyModel& model, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/training-inl.hpp"
#endif
