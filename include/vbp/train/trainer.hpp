#pragma once
/// Training and fine-tuning: batches in, one optimiser step after the other, a state that can be saved.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/safetensors.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/train/adamw.hpp"
#include "vbp/train/loss.hpp"
#include "vbp/train/mixup.hpp"
#include "vbp/train/schedule.hpp"

namespace vbp::inline VBP_ABI {

/// The defaults are those of fine-tuning after pruning.
struct TrainingOptions {
  Index epochs = 10;
  Index batch = 64;      ///< images that go through the network together
  Index accumulate = 1;  ///< batches whose gradients are averaged for one step
  double learning_rate = 5e-5;
  double minimum_learning_rate = 0.0;
  /// Not 0: AdamW's first step moves every weight by the rate, whatever its gradient.
  double warmup_epochs = 0.5;
  AdamWOptions optimiser = {};
  LossOptions loss = {};
  double label_smoothing = 0.0;
  double mixup = 0.0;    ///< alpha of the Beta distribution; 0: none
  double average = 0.0;  ///< decay of the exponential moving average of the weights; 0: none
  std::uint64_t seed = 1;
  bool recompute = false;  ///< see BackpropagationOptions
};

/// Images [n, channels * size * size] and their classes.
struct TrainingBatch {
  Matrix<float> images;
  std::vector<Index> labels;
};

/// What one step has done.
struct TrainingStep {
  double loss = 0.0;  ///< mean over the images, before the step
  Index images = 0;
  Index correct = 0;  ///< images whose class had the largest logit (of a mixture, the larger part's)
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  ///< before clipping
};

/// How far a run is. `position` belongs to the caller: how much of the epoch's data is used up.
struct TrainingProgress {
  std::int64_t epoch = 0;  ///< epochs that are complete
  std::int64_t step = 0;   ///< steps of the epoch that runs, and what they summed up to:
  std::int64_t images = 0;
  std::int64_t correct = 0;
  std::int64_t position = 0;
  double loss = 0.0;  ///< sum over the images

  bool operator==(const TrainingProgress&) const = default;
};

/// Trains a model, with or without a teacher. Everything random is drawn from the seed, the epoch and the
/// step, and no result depends on the number of threads, so that a run that was saved, restored and continued
/// ends with the bits of an unbroken one.
template <class Model>
class Trainer {
 public:
  /// The teacher is of the same family, or null. `images` is their number in an epoch, which only plans the
  /// learning rate. Throws ValueError for options out of range or a model without a head, and ShapeError for
  /// a teacher of other images or classes.
  Trainer(Model model, const std::type_identity_t<Model>* teacher, const TrainingOptions& options,
          Index images, Context context = {})
      : options_(checked(options)),
        model_(std::move(model)),
        gradient_(zeros_like(model_)),
        network_(model_, {.recompute = options.recompute}, context) {
    if (model_.config.classes == 0)
      throw ValueError("a model without a classification head cannot be trained");
    if (images < 1) throw ValueError("there are no images to train on");
    if (options_.loss.distillation > 0.0 && teacher == nullptr)
      throw ValueError("distillation needs a teacher");
    if (options_.loss.distillation > 0.0) {
      if (teacher->config.classes != model_.config.classes ||
          teacher->config.image_elements() != model_.config.image_elements()) {
        throw ShapeError("the teacher has " + std::to_string(teacher->config.classes) + " classes and " +
                         std::to_string(teacher->config.image_elements()) + " values an image, the student " +
                         std::to_string(model_.config.classes) + " and " +
                         std::to_string(model_.config.image_elements()));
      }
      teacher_.emplace(*teacher, context);
    }
    const Index step_images = options_.batch * options_.accumulate;
    steps_per_epoch_ = (images + step_images - 1) / step_images;
    schedule_ = {.peak = options_.learning_rate,
                 .minimum = options_.minimum_learning_rate,
                 .warmup_steps = std::llround(options_.warmup_epochs * static_cast<double>(steps_per_epoch_)),
                 .total_steps = options_.epochs * steps_per_epoch_};
    schedule_.validate();
    if (options_.accumulate > 1) sum_ = std::make_unique<Model>(gradient_);
    optimiser_.emplace(model_, sum_ ? *sum_ : gradient_, options_.optimiser);
    if (options_.average > 0.0) average_ = model_;
  }

  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One optimiser step on up to `accumulate` batches. next(batch) fills one and returns false if the epoch
  /// has no more; step() returns false if there was none at all. Throws ValueError if loss or gradient is not
  /// finite and Cancelled if the Context is, both before any weight has changed.
  template <class Next>
  bool step(Next&& next, TrainingStep& done) {
    done = {};
    double loss = 0.0;
    for (Index part = 0; part < options_.accumulate && next(batch_); ++part) {
      network_.context().require_not_cancelled();
      const auto count = static_cast<Index>(batch_.labels.size());
      loss += static_cast<double>(count) * differentiate(part, done.correct);
      done.images += count;
      if (sum_) add_gradient(part == 0, static_cast<float>(count));
    }
    if (done.images == 0) return false;
    done.loss = loss / static_cast<double>(done.images);
    if (sum_) scale_sum(1.0F / static_cast<float>(done.images));
    done.learning_rate = schedule_.at(progress_.epoch * steps_per_epoch_ + progress_.step);
    done.gradient_norm = optimiser_->gradient_norm(network_.pool());
    if (!std::isfinite(done.loss) || !std::isfinite(done.gradient_norm)) {
      throw ValueError("the run has diverged: in epoch " + std::to_string(progress_.epoch + 1) + ", step " +
                       std::to_string(progress_.step + 1) +
                       ", the loss or its gradient is not finite; a lower learning rate may help");
    }
    optimiser_->step(done.learning_rate, done.gradient_norm, network_.pool());
    if (average_) update_average();
    ++progress_.step;
    progress_.images += done.images;
    progress_.correct += done.correct;
    progress_.loss += loss;
    return true;
  }

  /// To be called after step() has returned false.
  void end_epoch() { progress_ = {.epoch = progress_.epoch + 1}; }

  const TrainingOptions& options() const noexcept { return options_; }
  TrainingProgress& progress() noexcept { return progress_; }
  Index steps_per_epoch() const noexcept { return steps_per_epoch_; }
  const Context& context() const noexcept { return network_.context(); }
  ThreadPool& pool() const noexcept { return network_.pool(); }

  /// The weights to be used: the moving average where one is kept.
  const Model& model() const noexcept { return average_ ? *average_ : model_; }

  /// Bytes of weights, gradients, optimiser state, activations and scratch now, and of the teacher.
  Index bytes() const noexcept {
    const Index copies = 4 + (sum_ ? 1 : 0) + (average_ ? 1 : 0);
    return copies * parameter_bytes() + network_.bytes() + (teacher_ ? teacher_->bytes() : 0);
  }

  /// Writes all that restore() needs, in one atomic step, with the caller's metadata. Throws FileError.
  void save(const std::filesystem::path& path, io::Metadata metadata) {
    metadata["format"] = kFormat;
    io::SafetensorsWriter writer;
    const std::array<double, 1> loss{progress_.loss};
    const std::array<std::int64_t, 6> progress{progress_.epoch,   progress_.step,     progress_.images,
                                               progress_.correct, progress_.position, optimiser_->steps()};
    writer.add("loss", {1}, std::span<const double>(loss));
    writer.add("progress", {6}, std::span<const std::int64_t>(progress));
    for_each_part([&](const std::string& prefix, Model& part) {
      for_each_parameter(part, [&](const std::string& name, const auto& values, Index, Index) {
        writer.add(prefix + name, values);
      });
    });
    writer.write(path, metadata);
  }

  /// Takes over what save() wrote for a model of the same shape and options that agree on the moving average;
  /// returns the metadata. Throws FileError, before anything is changed, if the file is not that.
  io::Metadata restore(const std::filesystem::path& path) {
    const io::SafetensorsFile file(path);
    const auto format = file.metadata().find("format");
    if (format == file.metadata().end() || format->second != kFormat) {
      throw FileError(path.string(), "is not the state of a training run");
    }
    const auto loss = file.read_array<double>("loss");
    const auto progress = file.read_array<std::int64_t>("progress");
    if (loss.size() != 1 || progress.size() != 6 || !std::isfinite(loss[0]) ||
        std::any_of(progress.begin(), progress.end(), [](std::int64_t value) { return value < 0; })) {
      throw FileError(path.string(), "holds no valid progress of a training run");
    }
    const std::vector<std::string> names = file.names();
    const bool averaged = std::any_of(names.begin(), names.end(),
                                      [](const std::string& name) { return name.starts_with("average."); });
    if (averaged != average_.has_value()) {
      throw FileError(path.string(), "was written with another setting of the moving average");
    }
    // The first pass checks and the second one copies, so that nothing changes if a part does not fit.
    for (const bool copies : {false, true}) {
      for_each_part([&](const std::string& prefix, Model& part) {
        for_each_parameter(part, [&](const std::string& name, auto& values, Index rows, Index cols) {
          const Matrix<float> stored = file.read_matrix<float>(prefix + name, rows, cols);
          if (!stored.allFinite()) {
            throw FileError(path.string(), "tensor \"" + prefix + name + "\" holds NaN or infinite values");
          }
          // In place, since optimiser and network refer to this memory.
          if (copies) std::copy_n(stored.data(), stored.size(), values.data());
        });
      });
    }
    progress_ = {progress[0], progress[1], progress[2], progress[3], progress[4], loss[0]};
    optimiser_->steps() = progress[5];
    return file.metadata();
  }

 private:
  static constexpr const char* kFormat = "vbp training state 1";

  static const TrainingOptions& checked(const TrainingOptions& options) {
    options.loss.validate();
    options.optimiser.validate();
    if (options.epochs < 1 || options.batch < 1 || options.accumulate < 1) {
      throw ValueError("epochs, the batch and the batches of a step must be positive");
    }
    if (!(options.label_smoothing >= 0.0 && options.label_smoothing < 1.0)) {
      throw ValueError("label smoothing must lie in [0, 1)");
    }
    if (!(options.mixup >= 0.0 && options.mixup <= 1.0)) throw ValueError("mixup's alpha must lie in [0, 1]");
    if (!(options.average >= 0.0 && options.average < 1.0)) {
      throw ValueError("the decay of the moving average must lie in [0, 1)");
    }
    if (!(options.warmup_epochs >= 0.0 && options.warmup_epochs <= static_cast<double>(options.epochs))) {
      throw ValueError("the warm-up must not be longer than the run");
    }
    return options;
  }

  Index parameter_bytes() const {
    Index size = 0;
    for_each_parameter(model_, [&](const std::string&, const auto& values, Index, Index) {
      size += values.size() * static_cast<Index>(sizeof(float));
    });
    return size;
  }

  /// Returns the mean loss of batch_ and sets gradient_ to its gradient.
  double differentiate(Index part, Index& correct) {
    const Index classes = model_.config.classes;
    const auto count = static_cast<Index>(batch_.labels.size());
    if (batch_.images.rows() != count) {
      throw ShapeError(std::to_string(batch_.images.rows()) + " images with " + std::to_string(count) +
                       " labels");
    }
    set_targets(batch_.labels, classes, options_.label_smoothing, targets_);
    if (options_.mixup > 0.0) {
      const std::int64_t step = progress_.epoch * steps_per_epoch_ + progress_.step;
      Random random(
          derive_seed(options_.seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(part)));
      const double larger = draw_mixture(options_.mixup, random);
      mix_rows(batch_.images, larger);
      mix_rows(targets_, larger);
    }
    if (teacher_) {
      teacher_logits_.resize(count, classes);
      teacher_->run(batch_.images, teacher_logits_);
    }
    logits_.resize(count, classes);
    network_.forward(batch_.images, logits_);
    const double loss =
        loss_and_gradient<float>(logits_, targets_, teacher_logits_, options_.loss, d_logits_);
    network_.backward(d_logits_, gradient_);
    for (Index i = 0; i < count; ++i) {
      Index best = 0;
      logits_.row(i).maxCoeff(&best);
      if (best == batch_.labels[static_cast<std::size_t>(i)]) ++correct;
    }
    return loss;
  }

  void add_gradient(bool first, float weight) {
    for_each_parameter_pair(*sum_, gradient_, [&](float* sum, const float* gradient, Index size) {
      if (first) {
        for (Index i = 0; i < size; ++i) sum[i] = weight * gradient[i];
      } else {
        for (Index i = 0; i < size; ++i) sum[i] += weight * gradient[i];
      }
    });
  }

  void scale_sum(float factor) {
    for_each_parameter(*sum_, [&](const std::string&, auto& values, Index, Index) { values *= factor; });
  }

  void update_average() {
    const auto share = static_cast<float>(1.0 - options_.average);
    for_each_parameter_pair(*average_, model_, [&](float* average, const float* value, Index size) {
      for (Index i = 0; i < size; ++i) average[i] += share * (value[i] - average[i]);
    });
  }

  template <class Visitor>
  void for_each_part(Visitor&& visit) {
    visit("model.", model_);
    visit("first.", optimiser_->first());
    visit("second.", optimiser_->second());
    if (average_) visit("average.", *average_);
  }

  TrainingOptions options_;
  Model model_, gradient_;
  std::unique_ptr<Model> sum_;  ///< of the gradients of a step, where it has several
  std::optional<Model> average_;
  Backpropagation<Model> network_;
  std::optional<typename Model::Inference> teacher_;
  std::optional<AdamW<Model>> optimiser_;
  CosineSchedule schedule_;
  Index steps_per_epoch_ = 0;
  TrainingProgress progress_;
  TrainingBatch batch_;
  Matrix<float> targets_, logits_, teacher_logits_, d_logits_;
};

}  // namespace vbp::inline VBP_ABI
