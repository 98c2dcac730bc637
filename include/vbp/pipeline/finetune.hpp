#pragma once
/// Trains a model of any family, or fine-tunes a pruned model with its dense model as teacher:
///
///     const auto images = vbp::labelled_image_folder("train/", student);
///     vbp::finetune(student, &teacher, images,
///                   {.training = {.epochs = 10, .loss = {.cross_entropy = 0.7, .distillation = 0.3}}});

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/augmentation.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/image_source.hpp"
#include "vbp/train/trainer.hpp"

namespace vbp::inline VBP_ABI {

/// One step of a run, for a log.
struct FinetuneStep {
  std::int64_t epoch = 0;  ///< from 1
  std::int64_t step = 0;   ///< number in its epoch, from 1
  TrainingStep done = {};
};

/// One epoch of a run.
struct FinetuneEpoch {
  std::int64_t epoch = 0;  ///< from 1
  double loss = 0.0;       ///< mean over the training images, measured during training
  double top1 = 0.0;       ///< on the augmented training images, measured during training
  double images_per_second = 0.0;
  std::optional<Evaluation> validation = std::nullopt;
};

/// Callbacks during a run. Each may be empty. They are called on the thread that called finetune().
struct FinetuneEvents {
  /// Called once, before the first step. If a run is resumed, its state has been restored.
  std::function<void()> begin = {};
  std::function<void(const FinetuneStep&)> step = {};
  /// Called after the training of an epoch and before its validation. `model` has the weights.
  std::function<void(const AnyModel& model)> weights = {};
  std::function<void(const FinetuneEpoch&)> epoch = {};
};

/// The file from which a run can be continued. finetune() writes it after every epoch and when the run is
/// cancelled. It never removes the file. The caller can do so after saving the weights.
struct FinetuneState {
  std::filesystem::path file = {};  ///< empty: the run is not saved
  bool resume = false;              ///< continue the run in the file instead of starting a new one
  /// Returns the metadata of the file.
  std::function<io::Metadata()> metadata = {};
  /// Called with the metadata of the file before anything is restored. It must throw if the options or the
  /// images differ from those that the run was started with.
  std::function<void(const io::Metadata&)> check = {};
};

struct FinetuneOptions {
  TrainingOptions training = {};
  io::Augmentation augmentation = {};  ///< for images in files
  bool strict = false;                 ///< stop at the first image that cannot be decoded
  /// Labelled images on which top-1 is measured after every epoch. Must not contain training images.
  std::optional<ImageSource> validation = std::nullopt;
  FinetuneState state = {};
  FinetuneEvents events = {};
};

struct FinetuneResult {
  std::vector<io::ImageFailure> failures = {};  ///< training images that were skipped
  std::int64_t bytes = 0;                       ///< memory that training took
  std::optional<FinetuneEpoch> last_epoch = std::nullopt;
};

/// Trains a model on labelled images. If `teacher` is not null, it must be of the same family, and the model
/// is distilled from it. `model` gets the trained weights after each epoch. The result does not depend on the
/// number of threads. A run that was cancelled and resumed ends with the same bits as an uninterrupted one.
/// Throws ValueError for options out of range, missing labels or a run that has diverged, ShapeError for a
/// teacher that does not fit, FileError, and Cancelled after the state has been saved.
VBP_FUNCTION FinetuneResult finetune(AnyModel& model, const AnyModel* teacher, const ImageSource& images,
                                     const FinetuneOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/finetune-inl.hpp"
#endif
