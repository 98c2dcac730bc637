/// The loops over images, and what they measure.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <unordered_set>
#include <utility>

#include "common.hpp"
#include "runner.hpp"
#include "trainer.hpp"
#include "vbp/core/random.hpp"
#include "vbp/models/hidden_statistics.hpp"
#include "vbp/prune/compensate/sequential.hpp"

namespace tool {

namespace fs = std::filesystem;
using vbp::Index;

// ---- the two loops ----

namespace {

vbp::io::ImageStream stream_of(std::vector<vbp::io::ImageEntry> images,
                               const vbp::io::Preprocessing& preprocessing, const RunOptions& options) {
  return {std::move(images),
          preprocessing,
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
  for (const auto& content : contents_of(images)) {
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

Contents contents_of(const std::vector<vbp::io::ImageEntry>& images) {
  Contents contents;
  for (const vbp::io::ImageEntry& image : images) {
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    try {
      contents.push_back(vbp::io::hash_bytes(vbp::io::MappedFile(image.path).bytes()).to_string());
    } catch (const vbp::FileError&) {
      contents.emplace_back();
    }
  }
  return contents;
}

std::unordered_set<std::string> set_of(const Contents& contents) {
  std::unordered_set<std::string> set;
  for (const auto& content : contents) {
    if (content) set.insert(*content);
  }
  return set;
}

std::string digest_of(const std::vector<vbp::io::ImageEntry>& images, const Contents& contents) {
  std::string text;
  for (std::size_t i = 0; i < images.size(); ++i)
    text += contents[i].value_or("unreadable") + ' ' + std::to_string(images[i].label) + '\n';
  return vbp::io::hash_bytes(std::as_bytes(std::span(text))).to_string();
}

void require_disjoint(const std::vector<vbp::io::ImageEntry>& evaluation, const Contents& contents,
                      const std::unordered_set<std::string>& calibration) {
  for (std::size_t i = 0; i < evaluation.size(); ++i) {
    if (contents[i] && calibration.contains(*contents[i])) {
      throw vbp::FileError(
          evaluation[i].path.string(),
          "is a calibration image too; evaluating on what was calibrated on flatters the result");
    }
  }
}

std::vector<vbp::io::ImageEntry> calibration_images(const fs::path& folder, std::optional<Index> limit,
                                                    const std::vector<vbp::io::ImageEntry>& evaluation,
                                                    const Checkpoint* labels_of) {
  auto images = labels_of == nullptr ? vbp::io::find_images(folder)
                                     : evaluation_images(*labels_of, folder, std::nullopt);
  if (limit) images = vbp::io::spread(images, *limit);
  if (!evaluation.empty()) {
    require_disjoint(evaluation, contents_of(evaluation), set_of(contents_of(images)));
  }
  return images;
}

std::vector<vbp::io::ImageEntry> evaluation_images(const Checkpoint& checkpoint, const fs::path& folder,
                                                   std::optional<Index> limit) {
  const Index classes = facts_of(checkpoint.model).classes;
  if (classes == 0) {
    throw vbp::FileError(checkpoint.path, "has no classification head, so that there is no top-1");
  }
  auto images = vbp::io::labelled_images(folder, checkpoint.class_names, classes);
  return limit ? vbp::io::spread(images, *limit) : images;
}

Evaluation evaluate(const Checkpoint& checkpoint, const std::vector<vbp::io::ImageEntry>& images,
                    const RunOptions& options, const std::string& title) {
  Evaluation result;
  result.classes = facts_of(checkpoint.model).classes;
  const auto runner = make_runner(checkpoint.model, options.threads);
  auto stream = stream_of(images, checkpoint.preprocessing, options);
  vbp::io::ImageBatch batch;
  const auto total = static_cast<std::int64_t>(images.size());
  ProgressBar bar(title);
  bar.show(0, total);
  const auto begin = std::chrono::steady_clock::now();
  while (stream.next(batch)) {
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    const vbp::Matrix<float> logits = (*runner)(batch.pixels);
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

namespace {

/// What a calibration of this model and preprocessing carries before it has seen anything.
vbp::io::Calibration empty_calibration(const Checkpoint& checkpoint) {
  vbp::io::Calibration calibration;
  const Facts facts = facts_of(checkpoint.model);
  calibration.model = fingerprint(checkpoint.model);
  calibration.preprocessing = checkpoint.preprocessing.to_string();
  calibration.model_name = facts.architecture;
  calibration.names = facts.blocks;
  calibration.statistics = vbp::hidden_statistics(facts);
  return calibration;
}

/// What of a calibration stays in memory.
struct Layout {
  /// The first block of each group whose covariances are gathered together, and the end.
  std::vector<std::size_t> groups;
  bool store_covariances = false;
  bool store_streams = false;
};

std::int64_t covariance_bytes(Index features) {
  return static_cast<std::int64_t>(vbp::Covariance<float>::bytes(features));
}

/// Bytes of all that a sequential refit keeps of the shape of the stream that enters it: that stream, which
/// is there until the end, the dense and the pruned one, and as much again of what attention's outputs read.
std::int64_t all_stream_bytes(Index rows, Index width) {
  return 4 * vbp::stream_bytes(rows, width);
}

/// Bytes of the work on one block.
std::int64_t work_bytes(const Gather& gather, const Facts& facts) {
  if (!gather.start) return 0;
  Index width = facts.stream_dim;
  for (const Stage& stage : facts.stages) width = std::max(width, stage.dim);
  return vbp::step_bytes(*std::max_element(facts.hidden_widths.begin(), facts.hidden_widths.end()), width);
}

/// Throws UsageError where not even one block has room.
void require_room(const Gather& gather, const Facts& facts) {
  if (!gather.room.bytes) return;
  const auto limit = static_cast<std::int64_t>(*gather.room.bytes);
  const std::int64_t work = work_bytes(gather, facts);
  const std::int64_t least =
      work + covariance_bytes(*std::max_element(facts.hidden_widths.begin(), facts.hidden_widths.end()));
  if (limit >= least) return;
  throw UsageError("--memory: one block " + std::string(work > 0 ? "and the work on it take " : "takes ") +
                   grouped(least) + " bytes, more than the " + grouped(limit) + " allowed");
}

/// For so many images. Throws UsageError where not even one block has room.
Layout layout_of(const Gather& gather, const Facts& facts, std::int64_t images) {
  require_room(gather, facts);
  const std::vector<Index>& widths = facts.hidden_widths;
  Layout layout{.groups = {0, widths.size()}};
  if (!gather.room.bytes) return layout;
  const auto limit = static_cast<std::int64_t>(*gather.room.bytes);
  const std::int64_t work = work_bytes(gather, facts);
  std::int64_t all = 0;
  for (const Index features : widths) all += covariance_bytes(features);
  // What a stream takes while its next shape is made beside it.
  Index next = 0;
  for (const Stage& stage : facts.stages) {
    if (stage.first_block > 0) next = std::max(next, stage.side * stage.side * stage.dim);
  }
  layout.store_covariances = all + work > limit;
  const std::int64_t streams =
      all_stream_bytes(images * facts.stream_rows, facts.stream_dim) + vbp::stream_bytes(images, next);
  layout.store_streams = layout.store_covariances || all + work + streams > limit;
  if (!layout.store_covariances) return layout;
  layout.groups = {0};
  std::int64_t group = 0;
  for (std::size_t b = 0; b < widths.size(); ++b) {
    if (group + covariance_bytes(widths[b]) > limit) {
      layout.groups.push_back(b);
      group = 0;
    }
    group += covariance_bytes(widths[b]);
  }
  layout.groups.push_back(widths.size());
  return layout;
}

}  // namespace

Json CalibrationRun::memory() const {
  std::int64_t in_files = start.folder().empty() ? 0 : all_stream_bytes(start.rows(), start.cols());
  for (const auto& covariance : stored) in_files += covariance.bytes();
  return {{"limit", *room.bytes}, {"passes", passes}, {"bytes_in_files", in_files}};
}

CalibrationRun load_calibration(const Checkpoint& checkpoint, const std::string& file, const Gather& gather) {
  require_room(gather, facts_of(checkpoint.model));
  CalibrationRun run;
  run.room = gather.room;
  run.passes = 0;
  vbp::io::Calibration::TakeCovariance put_aside;
  if (run.room.bytes) {
    put_aside = [&](vbp::Covariance<float>&& covariance) {
      run.stored.emplace_back(covariance, run.room.folder);
    };
  }
  run.calibration = vbp::io::Calibration::load(file, put_aside);
  if (run.calibration.model != fingerprint(checkpoint.model)) {
    throw vbp::FileError(file, "holds the statistics of another model (" + run.calibration.model_name + ")");
  }
  if (run.calibration.preprocessing != checkpoint.preprocessing.to_string()) {
    throw vbp::FileError(file, "was made with another preprocessing: " + run.calibration.preprocessing);
  }
  return run;
}

CalibrationRun calibrate(const Checkpoint& checkpoint, std::vector<vbp::io::ImageEntry> images,
                         const RunOptions& options, const Gather& gather,
                         std::optional<CalibrationRun> begun) {
  const Facts facts = facts_of(checkpoint.model);
  CalibrationRun run;
  if (begun) {
    run = std::move(*begun);
  } else {
    run.calibration = empty_calibration(checkpoint);
  }
  run.room = gather.room;
  std::unordered_set<std::string> known;
  for (const vbp::io::Hash128& hash : run.calibration.images) known.insert(hash.to_string());
  if (!known.empty()) leave_out_seen(images, known);
  const auto total = static_cast<std::int64_t>(images.size());
  const Layout layout = layout_of(gather, facts, total);
  if (gather.start) {
    run.start = {total * facts.stream_rows, facts.stream_dim,
                 layout.store_streams ? gather.room.folder : fs::path()};
  }
  auto& covariances = run.calibration.covariances;
  // As they were begun, if they were.
  const auto open_group = [&](std::size_t group) {
    for (std::size_t b = layout.groups[group]; b < layout.groups[group + 1]; ++b)
      covariances.push_back(b < run.stored.size() ? run.stored[b].load()
                                                  : vbp::Covariance<float>(facts.hidden_widths[b]));
  };
  const auto store_group = [&](std::size_t group) {
    for (std::size_t i = 0; i < covariances.size(); ++i) {
      vbp::StoredCovariance stored(covariances[i], gather.room.folder);
      const std::size_t b = layout.groups[group] + i;
      if (b < run.stored.size()) {
        run.stored[b] = std::move(stored);
      } else {
        run.stored.push_back(std::move(stored));
      }
    }
    covariances.clear();
  };
  if (gather.covariances && covariances.empty()) open_group(0);
  if (!layout.store_covariances) run.stored.clear();
  const auto runner = make_runner(checkpoint.model, options.threads);
  const auto gradient = gather.gradient ? make_mean_gradient(checkpoint.model, options.threads) : nullptr;
  const auto begin = std::chrono::steady_clock::now();

  // Goes over the images; each batch goes to see(batch, rows), its images that were not seen before.
  const auto pass = [&](const std::string& title, auto&& see) {
    std::unordered_set<std::string> seen = known;
    std::vector<fs::path> duplicates;
    auto stream = stream_of(images, checkpoint.preprocessing, options);
    vbp::io::ImageBatch batch;
    ProgressBar bar(title);
    bar.show(0, total);
    std::int64_t done = 0;
    while (stream.next(batch)) {
      if (interrupted()) {
        run.complete = false;
        break;
      }
      const std::vector<Index> rows = new_rows(batch, seen, duplicates);
      done += batch.size();
      try {
        if (static_cast<Index>(rows.size()) < batch.size()) {
          batch.pixels = vbp::Matrix<float>(batch.pixels(rows, Eigen::all));
        }
        if (!rows.empty()) see(batch, rows);
      } catch (const vbp::ValueError& error) {
        throw vbp::FileError(checkpoint.path, error.what());
      }
      bar.show(done + failed(stream), total);
    }
    run.skipped = {stream.failures(), std::move(duplicates)};
  };

  pass("calibrating", [&](const vbp::io::ImageBatch& batch, const std::vector<Index>& rows) {
    runner->observe(batch.pixels, run.calibration.statistics, covariances, 0);
    if (gather.start) {
      const vbp::Matrix<float> start = runner->embedded(batch.pixels);
      run.start.middleRows(run.images * facts.stream_rows, start.rows()) = start;
    }
    if (gradient) {
      std::vector<Index> labels;
      for (const Index row : rows) labels.push_back(batch.labels[static_cast<std::size_t>(row)]);
      gradient->observe(batch.pixels, labels);
    }
    for (const Index row : rows)
      run.calibration.images.push_back(batch.hashes[static_cast<std::size_t>(row)]);
    run.images += static_cast<Index>(rows.size());
  });
  const std::size_t groups = layout.groups.size() - 1;
  run.passes = static_cast<int>(groups);
  if (gather.covariances && layout.store_covariances) {
    store_group(0);
    for (std::size_t group = 1; group < groups && run.complete; ++group) {
      open_group(group);
      auto again = vbp::hidden_statistics(facts);
      pass("calibrating, " + std::to_string(group + 1) + " of " + std::to_string(groups),
           [&](const vbp::io::ImageBatch& batch, const std::vector<Index>&) {
             runner->observe(batch.pixels, again, covariances, static_cast<Index>(layout.groups[group]));
           });
      store_group(group);
    }
  }
  // Images that were left out leave their rows unused.
  run.start.truncate(run.images * facts.stream_rows);
  if (gradient && run.images > 0) run.gradient = gradient->mlps();
  run.seconds = seconds_since(begin);
  if (run.complete && run.calibration.images.empty()) fail_without_images(run.skipped.failures);
  return run;
}

Latency latency_of(std::vector<double>& milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  return {milliseconds.front(), milliseconds[milliseconds.size() / 2]};
}

vbp::Matrix<float> random_images(Index count, Index elements) {
  vbp::Random random(1);
  vbp::Matrix<float> images(count, elements);
  for (float& value : images.reshaped()) value = static_cast<float>(random.normal());
  return images;
}

namespace {

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Whether the median is known to 1 %: the values sqrt(n) ranks to either side of the middle enclose that of
/// all runs there might be in 95 of 100 cases.
bool settled(std::vector<double> values) {
  constexpr std::size_t fewest = 30;
  if (values.size() < fewest) return false;
  const std::size_t middle = values.size() / 2;
  const auto ranks = static_cast<std::size_t>(std::sqrt(static_cast<double>(values.size())));
  std::sort(values.begin(), values.end());
  return values[middle + ranks] <= 1.01 * values[middle - ranks];
}

}  // namespace

Comparison measure(const Model& dense_model, const Model& pruned_model, const RunOptions& options,
                   Index batch, std::chrono::seconds most) {
  const auto dense = make_runner(dense_model, options.threads);
  const auto pruned = make_runner(pruned_model, options.threads);
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t fewest_turns = 5, most_turns = 1000;
  const vbp::Matrix<float> images = random_images(batch, facts_of(dense_model).image_elements);
  const auto time_of = [&](Runner& runner) {
    const auto begin = Clock::now();
    runner(images);
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  };
  // The first run warms the caches and is not counted.
  time_of(*dense);
  time_of(*pruned);
  std::vector<double> dense_times, pruned_times, ratios;
  const auto begin = Clock::now();
  while (ratios.size() < fewest_turns ||
         (ratios.size() < most_turns && Clock::now() - begin < most && !settled(ratios))) {
    if (interrupted()) throw Interrupted("interrupted; nothing was written");
    dense_times.push_back(time_of(*dense));
    pruned_times.push_back(time_of(*pruned));
    ratios.push_back(pruned_times.back() / dense_times.back());
  }
  return {latency_of(dense_times), latency_of(pruned_times), median_of(std::move(ratios))};
}

}  // namespace tool
