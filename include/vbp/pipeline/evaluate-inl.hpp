#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/inference.hpp"
#include "vbp/pipeline/seconds.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The place of a class among the logits, 0 for the largest; of equal logits the lower class comes first.
VBP_FUNCTION Index place_of_class(const float* logits, Index classes, Index label) {
  Index place = 0;
  for (Index other = 0; other < classes; ++other) {
    if (logits[other] > logits[label] || (logits[other] == logits[label] && other < label)) ++place;
  }
  return place;
}

/// Adds one batch to the evaluation.
VBP_FUNCTION void count_hits(const Matrix<float>& logits, const io::ImageBatch& batch,
                             const std::string& model_path, Evaluation& evaluation) {
  const Index classes = logits.cols();
  for (Index i = 0; i < batch.size(); ++i) {
    const auto position = static_cast<std::size_t>(i);
    const float* const row = logits.data() + i * classes;
    if (!std::all_of(row, row + classes, [](float logit) { return std::isfinite(logit); })) {
      throw FileError(model_path, "its output for " + batch.paths[position].string() + " is not finite");
    }
    const Index place = place_of_class(row, classes, batch.labels[position]);
    evaluation.correct += place < 1 ? 1 : 0;
    evaluation.hits += place < 1 ? '1' : '0';
    evaluation.correct5 += place < 5 ? 1 : 0;
  }
  evaluation.images += batch.size();
}

}  // namespace detail

VBP_FUNCTION Evaluation evaluate(const AnyModel& model, const ImageSource& images,
                                 const EvaluateOptions& options, Context context) {
  Evaluation result;
  result.classes = model.description().classes;
  if (result.classes == 0) throw ValueError("a model without a classification head has no top-1");
  require_labels(images, result.classes);
  const std::unique_ptr<AnyInference> inference = make_inference(model, context);
  const auto pass = images.pass(
      {.preprocessing = model.preprocessing(), .batch = options.batch, .strict = options.strict}, context);
  ProgressUpdate update{.task = options.task, .unit = "images", .total = images.size()};
  context.report(update);
  io::ImageBatch batch;
  const auto begin = std::chrono::steady_clock::now();
  while (pass->next(batch)) {
    context.require_not_cancelled();
    detail::count_hits((*inference)(batch.pixels), batch, model.path(), result);
    update.done = pass->position();
    context.report(update);
  }
  result.seconds = detail::seconds_since(begin);
  result.failures = pass->failures();
  if (result.images == 0) detail::fail_without_images(result.failures);
  return result;
}

}  // namespace vbp::inline VBP_ABI
