/// Everything that runs a model: the one source file in which the kernels are compiled.

#include <algorithm>
#include <span>
#include <unordered_set>
#include <utility>

#include "common.hpp"
#include "vbp/core/random.hpp"
#include "vbp/model/calibration.hpp"
#include "vbp/train/mean_gradient.hpp"
#include "vbp/vit/inference.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

// ---- the two loops
// -------------------------------------------------------------------------------------------

namespace {

vbp::io::ImageStream stream_of(std::vector<vbp::io::ImageEntry> images, const vbp::VitCheckpoint& checkpoint,
                               const RunOptions& options) {
  return {std::move(images),
          checkpoint.preprocessing,
          {.batch = options.batch, .threads = options.threads, .strict = options.strict}};
}

std::int64_t failed(const vbp::io::ImageStream& stream) {
  return static_cast<std::int64_t>(stream.failures().size());
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

/// The error of a run that came to nothing.
[[noreturn]] void fail_without_images(const std::vector<vbp::io::ImageFailure>& failures) {
  const auto& [path, reason] = failures.front();
  throw vbp::FileError(path.string(), reason + "; none of the " + std::to_string(failures.size()) +
                                          " images could be decoded");
}

/// Takes out what a calibration that is continued has seen, up to the last image that was new to it; copies
/// of images behind that stay and take their place in the batches, as in an unbroken run.
void leave_out_seen(std::vector<vbp::io::ImageEntry>& images, const std::unordered_set<std::string>& seen) {
  std::unordered_set<std::string> met;
  std::vector<bool> known;
  std::size_t end = 0;
  for (const vbp::io::ImageEntry& image : images) {
    const auto content = content_of(image);
    known.push_back(content && seen.contains(*content));
    if (known.back() && met.insert(*content).second) end = known.size();
  }
  std::vector<vbp::io::ImageEntry> left;
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (i >= end || !known[i]) left.push_back(std::move(images[i]));
  }
  images = std::move(left);
}

/// Rows whose images are seen for the first time; `seen` learns them.
std::vector<Index> new_rows(const vbp::io::ImageBatch& batch, std::unordered_set<std::string>& seen,
                            std::vector<fs::path>& duplicates) {
  std::vector<Index> rows;
  for (Index i = 0; i < batch.size(); ++i) {
    const auto position = static_cast<std::size_t>(i);
    if (seen.insert(batch.hashes[position].to_string()).second) {
      rows.push_back(i);
    } else {
      duplicates.push_back(batch.paths[position]);
    }
  }
  return rows;
}

}  // namespace

std::optional<std::string> content_of(const vbp::io::ImageEntry& image) {
  if (interrupted()) throw Interrupted("interrupted; nothing was written");
  try {
    return vbp::io::hash_bytes(vbp::io::MappedFile(image.path).bytes()).to_string();
  } catch (const vbp::FileError&) {
    return std::nullopt;
  }
}

std::unordered_set<std::string> contents_of(const std::vector<vbp::io::ImageEntry>& images) {
  std::unordered_set<std::string> contents;
  for (const vbp::io::ImageEntry& image : images) {
    if (auto content = content_of(image)) contents.insert(std::move(*content));
  }
  return contents;
}

std::string digest_of(const std::vector<vbp::io::ImageEntry>& images) {
  std::string text;
  for (const vbp::io::ImageEntry& image : images) {
    text += content_of(image).value_or("unreadable") + ' ' + std::to_string(image.label) + '\n';
  }
  return vbp::io::hash_bytes(std::as_bytes(std::span(text))).to_string();
}

void require_disjoint(const std::vector<vbp::io::ImageEntry>& evaluation,
                      const std::unordered_set<std::string>& calibration) {
  for (const vbp::io::ImageEntry& image : evaluation) {
    const auto content = content_of(image);
    if (content && calibration.contains(*content)) {
      throw vbp::FileError(
          image.path.string(),
          "is a calibration image too; evaluating on what was calibrated on flatters the result");
    }
  }
}

std::vector<vbp::io::ImageEntry> calibration_images(const fs::path& folder, std::optional<Index> limit,
                                                    const std::vector<vbp::io::ImageEntry>& evaluation,
                                                    const vbp::VitCheckpoint* labels_of) {
  auto images = labels_of == nullptr ? vbp::io::find_images(folder)
                                     : evaluation_images(*labels_of, folder, std::nullopt);
  if (limit) images = vbp::io::spread(images, *limit);
  if (!evaluation.empty()) require_disjoint(evaluation, contents_of(images));
  return images;
}

std::vector<vbp::io::ImageEntry> evaluation_images(const vbp::VitCheckpoint& checkpoint,
                                                   const fs::path& folder, std::optional<Index> limit) {
  const Index classes = checkpoint.model.config.classes;
  if (classes == 0) {
    throw vbp::FileError(checkpoint.path, "has no classification head, so that there is no top-1");
  }
  auto images = vbp::io::labelled_images(folder, checkpoint.class_names, classes);
  return limit ? vbp::io::spread(images, *limit) : images;
}

Evaluation evaluate(const vbp::VitCheckpoint& checkpoint, const std::vector<vbp::io::ImageEntry>& images,
                    const RunOptions& options, const std::string& title) {
  Evaluation result;
  result.classes = checkpoint.model.config.classes;
  vbp::Inference<float> inference(checkpoint.model, {.threads = options.threads});
  auto stream = stream_of(images, checkpoint, options);
  vbp::io::ImageBatch batch;
  const auto total = static_cast<std::int64_t>(images.size());
  ProgressBar bar(title);
  bar.show(0, total);
  const auto begin = std::chrono::steady_clock::now();
  while (stream.next(batch)) {
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    const vbp::Matrix<float> logits = inference(batch.pixels);
    for (Index i = 0; i < batch.size(); ++i) {
      const Index label = batch.labels[static_cast<std::size_t>(i)];
      const float own = logits(i, label);
      if (!logits.row(i).allFinite()) {
        throw vbp::FileError(
            checkpoint.path,
            "its output for " + batch.paths[static_cast<std::size_t>(i)].string() + " is not finite");
      }
      // Ties go to the lower class, as everywhere.
      Index before = (logits.row(i).array() > own).count();
      before += (logits.row(i).head(label).array() == own).count();
      result.correct += before < 1 ? 1 : 0;
      result.hits += before < 1 ? '1' : '0';
      result.correct5 += before < 5 ? 1 : 0;
    }
    result.images += batch.size();
    bar.show(result.images + failed(stream), total);
  }
  result.seconds = seconds_since(begin);
  result.failures = stream.failures();
  if (result.images == 0) fail_without_images(result.failures);
  return result;
}

vbp::io::Calibration empty_calibration(const vbp::VitCheckpoint& checkpoint, bool covariances) {
  vbp::io::Calibration calibration;
  calibration.model = vbp::fingerprint(checkpoint.model);
  calibration.preprocessing = checkpoint.preprocessing.to_string();
  calibration.model_name = checkpoint.model.config.architecture;
  calibration.names = vbp::block_names(checkpoint.model.config);
  calibration.statistics = vbp::hidden_statistics(checkpoint.model.config);
  if (covariances) calibration.covariances = vbp::hidden_covariances(checkpoint.model.config);
  return calibration;
}

void require_calibration_of(const vbp::VitCheckpoint& checkpoint, const vbp::io::Calibration& calibration,
                            const std::string& name) {
  if (calibration.model != vbp::fingerprint(checkpoint.model)) {
    throw vbp::FileError(name, "holds the statistics of another model (" + calibration.model_name + ")");
  }
  if (calibration.preprocessing != checkpoint.preprocessing.to_string()) {
    throw vbp::FileError(name, "was made with another preprocessing: " + calibration.preprocessing);
  }
}

CalibrationRun calibrate(const vbp::VitCheckpoint& checkpoint, std::vector<vbp::io::ImageEntry> images,
                         const RunOptions& options, Gather gather,
                         std::optional<vbp::io::Calibration> begun) {
  CalibrationRun run;
  run.calibration = begun ? std::move(*begun) : empty_calibration(checkpoint, gather.covariances);
  std::unordered_set<std::string> seen;
  for (const vbp::io::Hash128& hash : run.calibration.images) seen.insert(hash.to_string());
  if (!seen.empty()) leave_out_seen(images, seen);
  const auto total = static_cast<std::int64_t>(images.size());
  const Index tokens = checkpoint.model.config.tokens();
  vbp::Inference<float> inference(checkpoint.model, {.threads = options.threads});
  std::optional<vbp::MeanGradient> gradient;
  if (gather.gradient)
    gradient.emplace(checkpoint.model, vbp::BackpropagationOptions{.threads = options.threads});
  auto stream = stream_of(std::move(images), checkpoint, options);
  vbp::io::ImageBatch batch;
  ProgressBar bar("calibrating");
  bar.show(0, total);
  const auto begin = std::chrono::steady_clock::now();
  while (stream.next(batch)) {
    if (interrupted()) {
      run.complete = false;
      break;
    }
    const std::vector<Index> rows = new_rows(batch, seen, run.skipped.duplicates);
    try {
      if (!rows.empty()) {
        if (static_cast<Index>(rows.size()) < batch.size()) {
          batch.pixels = vbp::Matrix<float>(batch.pixels(rows, Eigen::all));
        }
        vbp::observe_hidden<float>(inference, batch.pixels, run.calibration.statistics,
                                   run.calibration.covariances);
        if (gather.start) {
          const vbp::Matrix<float> start = inference.embedded(batch.pixels);
          if (run.start.size() == 0) run.start.resize(total * tokens, start.cols());
          run.start.middleRows(run.images * tokens, start.rows()) = start;
        }
        if (gradient) {
          std::vector<Index> labels;
          for (const Index row : rows) labels.push_back(batch.labels[static_cast<std::size_t>(row)]);
          gradient->observe(batch.pixels, labels);
        }
      }
    } catch (const vbp::ValueError& error) {
      throw vbp::FileError(checkpoint.path, error.what());
    }
    for (const Index row : rows)
      run.calibration.images.push_back(batch.hashes[static_cast<std::size_t>(row)]);
    run.images += static_cast<Index>(rows.size());
    bar.show(run.images + static_cast<Index>(run.skipped.duplicates.size()) + failed(stream), total);
  }
  // Images that were left out leave their rows unused.
  if (run.start.size() > 0) run.start.conservativeResize(run.images * tokens, Eigen::NoChange);
  if (gradient && run.images > 0) run.gradient = gradient->gradient();
  run.seconds = seconds_since(begin);
  run.skipped.failures = stream.failures();
  if (run.complete && run.calibration.images.empty()) fail_without_images(run.skipped.failures);
  return run;
}

Latency latency_of(std::vector<double>& milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  return {milliseconds.front(), milliseconds[milliseconds.size() / 2]};
}

vbp::Matrix<float> random_images(Index count, const vbp::VitConfig& config) {
  vbp::Random random(1);
  vbp::Matrix<float> images(count, config.image_elements());
  for (float& value : images.reshaped()) value = static_cast<float>(random.normal());
  return images;
}

namespace {

/// Whether the shortest run is no stroke of luck: four others took hardly longer.
bool settled(std::vector<double> milliseconds) {
  const auto fifth = milliseconds.begin() + 4;
  std::nth_element(milliseconds.begin(), fifth, milliseconds.end());
  return *fifth <= 1.01 * *std::min_element(milliseconds.begin(), fifth);
}

}  // namespace

std::pair<Latency, Latency> measure(const vbp::VisionTransformer<float>& dense_model,
                                    const vbp::VisionTransformer<float>& pruned_model,
                                    const RunOptions& options, Index batch) {
  vbp::Inference<float> dense(dense_model, {.threads = options.threads});
  vbp::Inference<float> pruned(pruned_model, {.threads = options.threads});
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t fewest_runs = 5, usual_runs = 20, most_runs = 1000;
  constexpr std::chrono::seconds budget(10);
  const vbp::Matrix<float> images = random_images(batch, dense.config());
  // The first run warms the caches and is not counted.
  dense(images);
  pruned(images);
  std::vector<double> times[2];
  const auto begin = Clock::now();
  const auto enough = [&] {
    const std::size_t runs = times[0].size();
    if (runs < fewest_runs) return false;
    return runs >= most_runs || Clock::now() - begin > budget ||
           (runs >= usual_runs && settled(times[0]) && settled(times[1]));
  };
  while (!enough()) {
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    for (int which = 0; which < 2; ++which) {
      const auto start = Clock::now();
      (which == 0 ? dense : pruned)(images);
      times[which].push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
  }
  return {latency_of(times[0]), latency_of(times[1])};
}

}  // namespace tool
