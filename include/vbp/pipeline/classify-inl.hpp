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

/// The best classes of one image, by its logits.
VBP_FUNCTION std::vector<ClassScore> best_classes(const VectorView<float>& logits,
                                                  const std::vector<std::string>& names, Index top) {
  const Vector<double> exponentials = (logits.cast<double>().array() - logits.maxCoeff()).exp();
  const double sum = exponentials.sum();
  std::vector<Index> order(static_cast<std::size_t>(logits.size()));
  std::iota(order.begin(), order.end(), Index{0});
  const auto end = order.begin() + std::min(top, logits.size());
  std::partial_sort(order.begin(), end, order.end(),
                    [&](Index a, Index b) { return logits(a) != logits(b) ? logits(a) > logits(b) : a < b; });
  std::vector<ClassScore> best;
  for (auto index = order.begin(); index != end; ++index) {
    const auto position = static_cast<std::size_t>(*index);
    best.push_back({*index, names.empty() ? std::string() : names[position], exponentials(*index) / sum});
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
    const Vector<float> row = logits.row(i).transpose();
    if (!row.allFinite()) {
      throw ValueError("the model's output for image " + std::to_string(i) + " is not finite");
    }
    classes.push_back(detail::best_classes(row, model.class_names(), options.top));
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
