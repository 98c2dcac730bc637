#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/finetune.hpp"
#include "vbp/pipeline/seconds.hpp"
#include "vbp/pipeline/training.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A number with so many digits behind the point.
VBP_FUNCTION std::string fixed_text(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

/// The places of an epoch's images in the epoch's own order.
VBP_FUNCTION std::vector<Index> shuffled_images(Index images, std::uint64_t seed, std::int64_t epoch) {
  std::vector<Index> order(static_cast<std::size_t>(images));
  std::iota(order.begin(), order.end(), Index{0});
  Random random(derive_seed(seed, static_cast<std::uint64_t>(epoch), 1));
  random.shuffle(order);
  return order;
}

/// One run. The template parameter, always void, keeps the class from being compiled where it is not used.
template <class>
class FinetuneWork {
 public:
  FinetuneWork(AnyModel& model, const AnyModel* teacher, const ImageSource& images,
               const FinetuneOptions& options, Context context)
      : model_(model), images_(images), options_(options), context_(std::move(context)) {
    require_labels(images_, model_.description().classes);
    if (options_.validation) {
      for (const auto& hash : options_.validation->hashes(context_)) {
        if (hash) validation_hashes_.insert(*hash);
      }
    }
    trainer_ = make_trainer(model_, teacher, options_.training, images_.size(), context_);
    if (options_.state.resume) restore();
  }

  FinetuneResult run() {
    if (options_.events.begin) options_.events.begin();
    report("");
    while (progress().epoch < options_.training.epochs) {
      run_epoch();
      finish_epoch();
    }
    take_weights();
    result_.bytes = trainer_->bytes();
    return std::move(result_);
  }

 private:
  TrainingProgress& progress() { return trainer_->progress(); }

  /// The caller's check comes first: another model does not fit the state's tensors.
  void restore() {
    const io::SafetensorsFile file(options_.state.file);
    if (options_.state.check) {
      options_.state.check(io::Metadata(file.metadata().begin(), file.metadata().end()));
    }
    trainer_->restore(options_.state.file);
  }

  void save_state() {
    if (options_.state.file.empty()) return;
    trainer_->save(options_.state.file, options_.state.metadata ? options_.state.metadata() : io::Metadata());
  }

  void take_weights() { model_.variant() = trainer_->model(); }

  void report(std::string note) {
    const auto images = static_cast<std::int64_t>(images_.size());
    context_.report({.task = "training",
                     .unit = "images",
                     .done = progress().epoch * images + progress().position,
                     .total = options_.training.epochs * images,
                     .note = std::move(note)});
  }

  /// The images of the running epoch that are still to come.
  std::unique_ptr<ImagePass> rest_of_epoch() {
    const TrainingProgress& at = progress();
    std::vector<Index> order = shuffled_images(images_.size(), options_.training.seed, at.epoch);
    order.erase(order.begin(), order.begin() + std::min<std::int64_t>(at.position, images_.size()));
    return images_.pass({.preprocessing = model_.preprocessing(),
                         .batch = options_.training.batch,
                         .strict = options_.strict,
                         .order = std::move(order),
                         .augmentation = ImageAugmentation{.options = options_.augmentation,
                                                           .seed = options_.training.seed + 1,
                                                           .epoch = static_cast<std::uint64_t>(at.epoch),
                                                           .first = static_cast<std::uint64_t>(at.position)}},
                        context_);
  }

  void run_epoch() {
    const std::int64_t begun = progress().position;
    const auto images = rest_of_epoch();
    const auto begin = std::chrono::steady_clock::now();
    io::ImageBatch read;
    const auto next = [&](TrainingBatch& batch) {
      if (!images->next(read)) return false;
      require_no_validation_image(read);
      std::swap(batch.images, read.pixels);
      std::swap(batch.labels, read.labels);
      return true;
    };
    Index seen = 0;
    double seconds = 0.0;
    TrainingStep step;
    try {
      while (trainer_->step(next, step)) {
        progress().position = begun + images->position();
        seen += step.images;
        seconds = seconds_since(begin);
        finish_step(step);
      }
    } catch (const Cancelled&) {
      save_state();
      throw;
    }
    images_per_second_ = static_cast<double>(seen) / std::max(seconds, 1e-9);
    if (result_.failures.empty()) result_.failures = images->failures();
    if (progress().images == 0) throw Error("not one of the training images could be decoded");
  }

  void finish_step(const TrainingStep& step) {
    const TrainingProgress& at = progress();
    if (options_.events.step) options_.events.step({.epoch = at.epoch + 1, .step = at.step, .done = step});
    if (context_.reports()) report(note());
    context_.require_not_cancelled();
  }

  /// "epoch 2/10, loss 0.4112, top-1 88.10 %"
  std::string note() {
    const TrainingProgress& at = progress();
    const auto images = static_cast<double>(at.images);
    return "epoch " + std::to_string(at.epoch + 1) + "/" + std::to_string(options_.training.epochs) +
           ", loss " + fixed_text(at.loss / images, 4) + ", top-1 " +
           fixed_text(100.0 * static_cast<double>(at.correct) / images, 2) + " %";
  }

  void require_no_validation_image(const io::ImageBatch& batch) const {
    for (std::size_t i = 0; i < batch.hashes.size(); ++i) {
      if (!validation_hashes_.contains(batch.hashes[i])) continue;
      throw FileError(batch.paths[i].string(),
                      "is a validation image too; validating on what was trained on flatters the result");
    }
  }

  void finish_epoch() {
    const TrainingProgress at = progress();
    const auto images = static_cast<double>(at.images);
    FinetuneEpoch epoch{.epoch = at.epoch + 1,
                        .loss = at.loss / images,
                        .top1 = static_cast<double>(at.correct) / images,
                        .images_per_second = images_per_second_};
    trainer_->end_epoch();
    take_weights();
    if (options_.events.weights) options_.events.weights(model_);
    if (options_.validation) {
      epoch.validation = evaluate(
          model_, *options_.validation,
          {.batch = options_.training.batch, .strict = options_.strict, .task = "validating"}, context_);
      report("");
    }
    if (options_.events.epoch) options_.events.epoch(epoch);
    save_state();
    result_.last_epoch = std::move(epoch);
  }

  AnyModel& model_;
  const ImageSource& images_;
  const FinetuneOptions& options_;
  Context context_;
  std::set<io::Hash128> validation_hashes_;
  std::unique_ptr<AnyTrainer> trainer_;
  double images_per_second_ = 0.0;
  FinetuneResult result_;
};

}  // namespace detail

VBP_FUNCTION FinetuneResult finetune(AnyModel& model, const AnyModel* teacher, const ImageSource& images,
                                     const FinetuneOptions& options, Context context) {
  return detail::FinetuneWork<void>(model, teacher, images, options, std::move(context)).run();
}

}  // namespace vbp::inline VBP_ABI
