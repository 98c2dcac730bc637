#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/pipeline/calibrate.hpp"
#include "vbp/pipeline/inference.hpp"
#include "vbp/pipeline/seconds.hpp"
#include "vbp/pipeline/training.hpp"
#include "vbp/prune/compensate/sequential.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

// ---- what stays in memory ----

/// What of a calibration stays in memory, and what spills to files.
struct CalibrationLayout {
  /// The first block of each group whose covariances are gathered together, and the end.
  std::vector<std::size_t> groups;
  bool spill_covariances = false;
  bool spill_streams = false;
};

VBP_FUNCTION std::int64_t covariance_bytes(Index features) {
  return static_cast<std::int64_t>(Covariance<float>::bytes(features));
}

/// Bytes of all that a sequential refit keeps in the shape of the stream that enters it: that stream, which
/// stays until the end, the dense and the pruned one, and as much again of what attention's outputs read.
VBP_FUNCTION std::int64_t refit_stream_bytes(Index rows, Index width) {
  return 4 * stream_bytes(rows, width);
}

/// Bytes of the work on one block after the calibration.
VBP_FUNCTION std::int64_t block_work_bytes(const CalibrateOptions& options,
                                           const ModelDescription& description) {
  if (!options.residual_stream) return 0;
  Index width = description.stream_dim;
  for (const Stage& stage : description.stages) width = std::max(width, stage.dim);
  return step_bytes(*std::max_element(description.hidden_widths.begin(), description.hidden_widths.end()),
                    width);
}

/// 22,050,664 for people.
VBP_FUNCTION std::string grouped_digits(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

/// Throws MemoryLimitError if not even one block fits.
VBP_FUNCTION void require_memory_for_a_block(const CalibrateOptions& options,
                                             const ModelDescription& description) {
  if (!options.memory.bytes) return;
  const auto limit = static_cast<std::int64_t>(*options.memory.bytes);
  const std::int64_t work = block_work_bytes(options, description);
  const std::int64_t least = work + covariance_bytes(*std::max_element(description.hidden_widths.begin(),
                                                                       description.hidden_widths.end()));
  if (limit >= least) return;
  throw MemoryLimitError("one block " + std::string(work > 0 ? "and the work on it take " : "takes ") +
                         grouped_digits(least) + " bytes, more than the " + grouped_digits(limit) +
                         " allowed");
}

/// The blocks in groups whose covariances fit the limit together.
VBP_FUNCTION std::vector<std::size_t> covariance_groups(const std::vector<Index>& widths,
                                                        std::int64_t limit) {
  std::vector<std::size_t> groups{0};
  std::int64_t group = 0;
  for (std::size_t b = 0; b < widths.size(); ++b) {
    if (group + covariance_bytes(widths[b]) > limit) {
      groups.push_back(b);
      group = 0;
    }
    group += covariance_bytes(widths[b]);
  }
  groups.push_back(widths.size());
  return groups;
}

/// For so many images. Throws MemoryLimitError if not even one block fits.
VBP_FUNCTION CalibrationLayout calibration_layout(const CalibrateOptions& options,
                                                  const ModelDescription& description, Index images) {
  require_memory_for_a_block(options, description);
  const std::vector<Index>& widths = description.hidden_widths;
  CalibrationLayout layout{.groups = {0, widths.size()}};
  if (!options.memory.bytes) return layout;
  const auto limit = static_cast<std::int64_t>(*options.memory.bytes);
  std::int64_t needed = block_work_bytes(options, description);
  for (const Index features : widths) needed += covariance_bytes(features);
  // While a down-sampling changes a stream's shape, the old and the new one are there.
  Index next = 0;
  for (const Stage& stage : description.stages) {
    if (stage.first_block > 0) next = std::max(next, stage.side * stage.side * stage.dim);
  }
  const std::int64_t streams = refit_stream_bytes(images * description.stream_rows, description.stream_dim) +
                               stream_bytes(images, next);
  layout.spill_covariances = needed > limit;
  layout.spill_streams = layout.spill_covariances || needed + streams > limit;
  if (layout.spill_covariances) layout.groups = covariance_groups(widths, limit);
  return layout;
}

// ---- the passes ----

/// The places of the images that a calibration still has to see. A calibration that is continued has seen
/// the list up to the last image that was new to it; copies of images behind that stay and take their place
/// in the batches, as in an unbroken run.
VBP_FUNCTION std::vector<Index> images_left(const ImageSource& images, const std::set<io::Hash128>& seen,
                                            const Context& context) {
  std::vector<bool> known(static_cast<std::size_t>(images.size()), false);
  std::size_t end = 0;
  if (!seen.empty()) {
    std::set<io::Hash128> met;
    const auto hashes = images.hashes(context);
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      known[i] = hashes[i] && seen.contains(*hashes[i]);
      if (known[i] && met.insert(*hashes[i]).second) end = i + 1;
    }
  }
  std::vector<Index> left;
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i >= end || !known[i]) left.push_back(static_cast<Index>(i));
  }
  return left;
}

/// The rows of a batch whose images are seen for the first time; adds them to `seen`.
VBP_FUNCTION std::vector<Index> new_rows(const io::ImageBatch& batch, std::set<io::Hash128>& seen,
                                         std::vector<std::string>& duplicates) {
  std::vector<Index> rows;
  for (Index i = 0; i < batch.size(); ++i) {
    const auto position = static_cast<std::size_t>(i);
    if (seen.insert(batch.hashes[position]).second) {
      rows.push_back(i);
    } else {
      duplicates.push_back(batch.paths[position].string());
    }
  }
  return rows;
}

/// Drops all other rows; `rows` ascend.
VBP_FUNCTION void keep_rows(const std::vector<Index>& rows, Matrix<float>& matrix) {
  const auto count = static_cast<Index>(rows.size());
  if (count == matrix.rows()) return;
  float* to = matrix.data();
  for (const Index row : rows) to = std::copy_n(matrix.data() + row * matrix.cols(), matrix.cols(), to);
  matrix.conservativeResize(count, matrix.cols());
}

/// Runs work on the model's output. What it throws about values names the model's file, if there is one.
template <class Work>
void with_model_file(const AnyModel& model, Work&& work) {
  if (model.path().empty()) return work();
  with_file(model.path(), work);
}

/// One calibration at work. The template parameter, always void, keeps the class from being compiled where
/// it is not used.
template <class>
class CalibrationWork {
 public:
  CalibrationWork(CalibrationResult& result, const AnyModel& model, const ImageSource& images,
                  const CalibrateOptions& options, Context context)
      : result_(result),
        model_(model),
        images_(images),
        options_(options),
        context_(std::move(context)),
        description_(model.description()),
        known_(result.calibration.images.begin(), result.calibration.images.end()),
        order_(images_left(images, known_, context_)),
        layout_(calibration_layout(options, description_, static_cast<Index>(order_.size()))) {
    if (options_.gradient) require_labels(images_, description_.classes);
    result_.images = 0;
    result_.memory = options_.memory;
    result_.passes = static_cast<int>(layout_.groups.size()) - 1;
    if (options_.residual_stream) {
      result_.residual_stream = {static_cast<Index>(order_.size()) * description_.stream_rows,
                                 description_.stream_dim,
                                 layout_.spill_streams ? options_.memory.folder : std::filesystem::path()};
    }
  }

  /// All passes. After Cancelled the result holds the whole batches so far.
  void run() {
    const auto begin = std::chrono::steady_clock::now();
    inference_ = make_inference(model_, context_);
    if (options_.gradient) gradient_ = make_mean_gradient(model_, context_);
    if (options_.covariances && covariances().empty()) open_group(0);
    if (!layout_.spill_covariances) result_.spilled.clear();
    try {
      first_pass();
    } catch (const Cancelled&) {
      finish(begin);
      throw;
    }
    if (options_.covariances && layout_.spill_covariances) {
      spill_group(0);
      for (std::size_t group = 1; group + 1 < layout_.groups.size(); ++group) further_pass(group);
    }
    finish(begin);
    if (result_.calibration.images.empty()) fail_without_images(result_.skipped.failures);
  }

 private:
  std::vector<Covariance<float>>& covariances() { return result_.calibration.covariances; }

  /// Goes through the images. Calls observe(batch, rows) for each batch with the rows of the images that were
  /// not seen before; batch.pixels holds these alone.
  template <class Observe>
  void pass(const std::string& task, Observe&& observe) {
    std::set<io::Hash128> seen = known_;
    SkippedImages skipped;
    const auto images = images_.pass({.preprocessing = model_.preprocessing(),
                                      .batch = options_.batch,
                                      .strict = options_.strict,
                                      .order = order_},
                                     context_);
    ProgressUpdate update{.task = task, .unit = "images", .total = static_cast<std::int64_t>(order_.size())};
    context_.report(update);
    io::ImageBatch batch;
    while (images->next(batch)) {
      context_.require_not_cancelled();
      const std::vector<Index> rows = new_rows(batch, seen, skipped.duplicates);
      with_model_file(model_, [&] {
        keep_rows(rows, batch.pixels);
        if (!rows.empty()) observe(batch, rows);
      });
      update.done = images->position();
      context_.report(update);
    }
    skipped.failures = images->failures();
    result_.skipped = std::move(skipped);
  }

  void first_pass() {
    pass("calibrating", [&](const io::ImageBatch& batch, const std::vector<Index>& rows) {
      inference_->observe(batch.pixels, result_.calibration.statistics, covariances(), 0);
      if (options_.residual_stream) {
        const Matrix<float> entering = inference_->embedded(batch.pixels);
        result_.residual_stream.middleRows(result_.images * description_.stream_rows, entering.rows()) =
            entering;
      }
      if (gradient_) {
        std::vector<Index> labels;
        for (const Index row : rows) labels.push_back(batch.labels[static_cast<std::size_t>(row)]);
        gradient_->observe(batch.pixels, labels);
      }
      for (const Index row : rows) {
        result_.calibration.images.push_back(batch.hashes[static_cast<std::size_t>(row)]);
      }
      result_.images += static_cast<Index>(rows.size());
    });
  }

  /// The covariances of one more group of blocks.
  void further_pass(std::size_t group) {
    open_group(group);
    auto again = hidden_statistics(description_);
    pass("calibrating, " + std::to_string(group + 1) + " of " + std::to_string(layout_.groups.size() - 1),
         [&](const io::ImageBatch& batch, const std::vector<Index>&) {
           inference_->observe(batch.pixels, again, covariances(), static_cast<Index>(layout_.groups[group]));
         });
    spill_group(group);
  }

  /// The covariances of a group as they were begun, or empty ones.
  void open_group(std::size_t group) {
    for (std::size_t b = layout_.groups[group]; b < layout_.groups[group + 1]; ++b) {
      covariances().push_back(b < result_.spilled.size() ? result_.spilled[b].load()
                                                         : Covariance<float>(description_.hidden_widths[b]));
    }
  }

  void spill_group(std::size_t group) {
    for (std::size_t i = 0; i < covariances().size(); ++i) {
      StoredCovariance spilled(covariances()[i], options_.memory.folder);
      const std::size_t b = layout_.groups[group] + i;
      if (b < result_.spilled.size()) {
        result_.spilled[b] = std::move(spilled);
      } else {
        result_.spilled.push_back(std::move(spilled));
      }
    }
    covariances().clear();
  }

  void finish(std::chrono::steady_clock::time_point begin) {
    // Images that were left out leave their rows unused.
    result_.residual_stream.truncate(result_.images * description_.stream_rows);
    if (gradient_ && result_.images > 0) result_.gradient = gradient_->mlps();
    result_.seconds = seconds_since(begin);
  }

  CalibrationResult& result_;
  const AnyModel& model_;
  const ImageSource& images_;
  const CalibrateOptions& options_;
  Context context_;
  ModelDescription description_;
  std::set<io::Hash128> known_;  ///< contents that the result had seen before
  std::vector<Index> order_;     ///< the images that are gone through
  CalibrationLayout layout_;
  std::unique_ptr<AnyInference> inference_;
  std::unique_ptr<AnyMeanGradient> gradient_;
};

}  // namespace detail

VBP_FUNCTION Covariance<float> CalibrationResult::covariance(std::size_t block) const {
  return spilled.empty() ? calibration.covariances[block] : spilled[block].load();
}

VBP_FUNCTION Covariance<float> CalibrationResult::Covariances::Iterator::operator*() const {
  return result_->covariance(block_);
}

VBP_FUNCTION std::string CalibrationResult::moments() const {
  return io::moments_name(has_covariances());
}

VBP_FUNCTION std::optional<MemoryUse> CalibrationResult::memory_use() const {
  if (!memory.bytes) return std::nullopt;
  MemoryUse use{.limit = *memory.bytes, .passes = passes};
  if (!residual_stream.folder().empty()) {
    use.bytes_in_files = detail::refit_stream_bytes(residual_stream.rows(), residual_stream.cols());
  }
  for (const StoredCovariance& covariance : spilled) use.bytes_in_files += covariance.bytes();
  return use;
}

VBP_FUNCTION CalibrationResult begin_calibration(const AnyModel& model) {
  const ModelDescription description = model.description();
  CalibrationResult result;
  io::Calibration& calibration = result.calibration;
  calibration.model = model.fingerprint();
  calibration.preprocessing = model.preprocessing().to_string();
  calibration.model_name = description.architecture;
  calibration.names = description.blocks;
  calibration.statistics = hidden_statistics(description);
  return result;
}

VBP_FUNCTION void continue_calibration(CalibrationResult& result, const AnyModel& model,
                                       const ImageSource& images, const CalibrateOptions& options,
                                       Context context) {
  detail::CalibrationWork<void>(result, model, images, options, std::move(context)).run();
}

VBP_FUNCTION CalibrationResult calibrate(const AnyModel& model, const ImageSource& images,
                                         const CalibrateOptions& options, Context context) {
  CalibrationResult result = begin_calibration(model);
  continue_calibration(result, model, images, options, std::move(context));
  return result;
}

VBP_FUNCTION CalibrationResult load_statistics(const AnyModel& model, const std::filesystem::path& file,
                                               const CalibrateOptions& options) {
  detail::require_memory_for_a_block(options, model.description());
  CalibrationResult result;
  result.memory = options.memory;
  result.passes = 0;
  io::Calibration::CovarianceReceiver spill;
  if (options.memory.bytes) {
    spill = [&](Covariance<float>&& covariance) {
      result.spilled.push_back(StoredCovariance(covariance, options.memory.folder));
    };
  }
  result.calibration = io::Calibration::load(file, spill);
  if (result.calibration.model != model.fingerprint()) {
    throw FileError(file.string(),
                    "holds the statistics of another model (" + result.calibration.model_name + ")");
  }
  if (result.calibration.preprocessing != model.preprocessing().to_string()) {
    throw FileError(file.string(),
                    "was made with another preprocessing: " + result.calibration.preprocessing);
  }
  return result;
}

VBP_FUNCTION void save_statistics(io::AtomicFile& file, const CalibrationResult& result) {
  if (result.spilled.empty()) {
    result.calibration.save(file);
  } else {
    result.calibration.save(file, result.spilled);
  }
}

VBP_FUNCTION void save_statistics(const std::filesystem::path& file, const CalibrationResult& result) {
  io::AtomicFile out(file);
  save_statistics(out, result);
  out.commit();
}

}  // namespace vbp::inline VBP_ABI
