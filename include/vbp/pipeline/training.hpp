#pragma once
/// Training of a model of any family, one optimiser step after the other. finetune() of
/// pipeline/finetune.hpp is the whole run.

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

/// vbp::Trainer of a model whose family is known at run time only.
class AnyTrainer {
 public:
  AnyTrainer() = default;
  AnyTrainer(const AnyTrainer&) = delete;
  AnyTrainer& operator=(const AnyTrainer&) = delete;
  virtual ~AnyTrainer() = default;

  virtual bool step(const std::function<bool(TrainingBatch&)>& next, TrainingStep& done) = 0;
  virtual void end_epoch() = 0;
  virtual TrainingProgress& progress() = 0;
  /// The weights to be used: the moving average where one is kept.
  virtual AnyModel::Variant model() const = 0;
  /// Bytes of weights, gradients, optimiser state, activations and teacher now.
  virtual Index bytes() const = 0;
  virtual void save(const std::filesystem::path& path, io::Metadata metadata) = 0;
  virtual io::Metadata restore(const std::filesystem::path& path) = 0;
};

/// `images` are those of an epoch; a null teacher is none. Throws ValueError for a teacher of another family,
/// and as the constructor of Trainer does.
VBP_FUNCTION std::unique_ptr<AnyTrainer> make_trainer(const AnyModel& student, const AnyModel* teacher,
                                                      const TrainingOptions& options, Index images,
                                                      Context context = {});

/// Bytes of activations of a batch of `images` in training, kept or recomputed.
VBP_FUNCTION Index activation_bytes(const AnyModel& model, Index images, bool recompute);

/// vbp::MeanGradient of a model whose family is known at run time only.
class AnyMeanGradient {
 public:
  AnyMeanGradient() = default;
  AnyMeanGradient(const AnyMeanGradient&) = delete;
  AnyMeanGradient& operator=(const AnyMeanGradient&) = delete;
  virtual ~AnyMeanGradient() = default;

  virtual void observe(const MatrixView<float>& images, const std::vector<Index>& labels) = 0;
  /// The gradient by the MLP of each block, in order.
  virtual std::vector<Mlp<double>> mlps() const = 0;
};

/// The model must outlive the result. Throws ValueError for a model without a classification head.
VBP_FUNCTION std::unique_ptr<AnyMeanGradient> make_mean_gradient(const AnyModel& model, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/training-inl.hpp"
#endif
