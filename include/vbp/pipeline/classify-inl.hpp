#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/pipeline/classify.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// The most likely classes of one image, by its logits.
VBP_FUNCTION std::vector<ClassScore> best_classes(const float* logits, Index classes,
                                                  const std::vector<std::string>& names, Index top) {
  const double largest = *std::max_element(logits, logits + classes);
  double sum = 0.0;
  for (Index c = 0; c < classes; ++c) sum += std::exp(logits[c] - largest);
  std::vector<Index> order(static_cast<std::size_t>(classes));
  std::iota(order.begin(), order.end(), Index{0});
  const auto end = order.begin() + std::min(top, classes);
  std::partial_sort(order.begin(), end, order.end(),
                    [&](Index a, Index b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<ClassScore> best;
  for (auto index = order.begin(); index != end; ++index) {
    best.push_back({*index, names.empty() ? std::string() : names[static_cast<std::size_t>(*index)],
                    std::exp(logits[*index] - largest) / sum});
  }
  return best;
}

}  // namespace detail

VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model, AnyInference& inference,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options) {
  if (model.description().classes == 0) {
    throw ValueError("a model without a classification head cannot classify");
  }
  if (options.top < 1) throw ValueError("at least one class must be asked for");
  const Matrix<float> logits = inference(pixels);
  std::vector<std::vector<ClassScore>> classes;
  for (Index i = 0; i < logits.rows(); ++i) {
    const float* const row = logits.data() + i * logits.cols();
    if (!std::all_of(row, row + logits.cols(), [](float logit) { return std::isfinite(logit); })) {
      throw ValueError("the model's output for image " + std::to_string(i) + " is not finite");
    }
    classes.push_back(detail::best_classes(row, logits.cols(), model.class_names(), options.top));
  }
  return classes;
}

VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options, Context context) {
  const std::unique_ptr<AnyInference> inference = make_inference(model, std::move(context));
  return classify(model, *inference, pixels, options);
}

}  // namespace vbp::inline VBP_ABI
