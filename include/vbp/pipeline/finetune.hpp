#pragma once
/// Training of a model of any family, and fine-tuning of a pruned one by its dense teacher:
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

/// One step of a run, as a log wants it.
struct FinetuneStep {
  std::int64_t epoch = 0;  ///< from 1
  std::int64_t step = 0;   ///< of this epoch, from 1
  TrainingStep done = {};
};

/// One epoch of a run.
struct FinetuneEpoch {
  std::int64_t epoch = 0;  ///< from 1
  double loss = 0.0;       ///< mean over the images, while the weights changed
  double top1 = 0.0;       ///< of the augmented training images
  double images_per_second = 0.0;
  std::optional<Evaluation> validation = std::nullopt;
};

/// What a caller is told while a run goes on. Each is called by the thread that runs it, and may be empty.
struct FinetuneEvents {
  /// Once, before the first step; after a saved run was restored.
  std::function<void()> begin = {};
  std::function<void(const FinetuneStep&)> step = {};
  /// An epoch's training is over: `model` holds its weights. Called before validation.
  std::function<void(const AnyModel& model)> weights = {};
  std::function<void(const FinetuneEpoch&)> epoch = {};
};

/// The file that a run can be continued from. It is written after every epoch and when the run is cancelled;
/// the run leaves it for the caller to remove when the weights are safe.
struct FinetuneState {
  std::filesystem::path file = {};  ///< none: the run is not saved
  bool resume = false;              ///< continue the run of the file instead of beginning one
  /// What to write beside the tensors.
  std::function<io::Metadata()> metadata = {};
  /// Gets what was written beside the tensors, before anything is restored; throws to refuse it. The options
  /// and the images must be those that the run was begun with.
  std::function<void(const io::Metadata&)> check = {};
};

struct FinetuneOptions {
  TrainingOptions training = {};
  io::Augmentation augmentation = {};  ///< of images in files
  bool strict = false;                 ///< stop at the first image that cannot be decoded
  /// Labelled images to measure top-1 on after every epoch. An image that is trained on must not be among
  /// them.
  std::optional<ImageSource> validation = std::nullopt;
  FinetuneState state = {};
  FinetuneEvents events = {};
};

struct FinetuneResult {
  std::vector<io::ImageFailure> failures = {};  ///< training images that were left out
  std::int64_t bytes = 0;                       ///< of memory that training took
  std::optional<FinetuneEpoch> last_epoch = std::nullopt;
};

/// Trains a model on labelled images, by a teacher of the same family where there is one. The model has the
/// trained weights after each epoch. The result does not depend on the number of threads; a run that was
/// cancelled and resumed ends with the bits of an unbroken one. Throws ValueError for options out of range,
/// missing labels or a run that has diverged, ShapeError for a teacher that does not fit, FileError, and
/// Cancelled after the state was saved.
VBP_FUNCTION FinetuneResult finetune(AnyModel& model, const AnyModel* teacher, const ImageSource& images,
                                     const FinetuneOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/finetune-inl.hpp"
#endif
