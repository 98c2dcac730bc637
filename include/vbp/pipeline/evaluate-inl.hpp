#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/pipeline/evaluate.hpp"
#include "vbp/pipeline/inference.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

VBP_FUNCTION double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

VBP_FUNCTION std::string fixed_text(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

VBP_FUNCTION [[noreturn]] void fail_without_images(const std::vector<io::ImageFailure>& failures) {
  if (failures.empty()) throw ValueError("there are no images");
  const auto& [path, reason] = failures.front();
  throw FileError(path.string(),
                  reason + "; none of the " + std::to_string(failures.size()) + " images could be decoded");
}

/// Adds one batch to the evaluation.
template <class T>
void count_hits(const Matrix<T>& logits, const io::ImageBatch& batch, const std::string& model_path,
                Evaluation& evaluation) {
  for (Index i = 0; i < batch.size(); ++i) {
    const auto position = static_cast<std::size_t>(i);
    if (!logits.row(i).allFinite()) {
      throw FileError(model_path, "its output for " + batch.paths[position].string() + " is not finite");
    }
    const Index label = batch.labels[position];
    const T own = logits(i, label);
    Index before = (logits.row(i).array() > own).count();
    before += (logits.row(i).head(label).array() == own).count();
    evaluation.correct += before < 1 ? 1 : 0;
    evaluation.hits += before < 1 ? '1' : '0';
    evaluation.correct5 += before < 5 ? 1 : 0;
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
