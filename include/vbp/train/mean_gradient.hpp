#pragma once
/// The gradient of a loss over a whole data set, which criteria ask for.

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/models/backpropagation.hpp"
#include "vbp/models/model.hpp"
#include "vbp/models/parameters.hpp"
#include "vbp/train/loss.hpp"

namespace vbp::inline VBP_ABI {

/// The gradient of a model's mean cross-entropy over all images observed, summed batch by batch in double:
/// twice the model's memory beside the batch's own. The model must outlive it and keep its weights.
template <class Model>
class MeanGradient {
 public:
  /// The model in float64.
  using Gradient = decltype(cast<double>(std::declval<const Model&>()));

  /// Throws ValueError for a model without a classification head.
  explicit MeanGradient(const Model& model, const BackpropagationOptions& options = {}, Context context = {})
      : classes_(model.config.classes),
        network_(model, options, std::move(context)),
        batch_(zeros_like(model)),
        sum_(cast<double>(batch_)) {
    if (classes_ == 0) throw ValueError("a model without a classification head has no cross-entropy");
  }

  /// Adds images [n, channels * size * size] and their classes. Throws ShapeError if they do not fit, and
  /// ValueError for a class that the model does not have or a loss that is not finite, and adds nothing.
  void observe(const MatrixView<float>& images, const std::vector<Index>& labels) {
    const auto count = static_cast<Index>(labels.size());
    if (images.rows() != count) {
      throw ShapeError(std::to_string(images.rows()) + " images with " + std::to_string(count) + " labels");
    }
    set_targets(labels, classes_, 0.0, targets_);
    logits_.resize(count, classes_);
    network_.forward(images, logits_);
    const double loss = loss_and_gradient<float>(logits_, targets_, Matrix<float>(), {}, d_logits_);
    if (!std::isfinite(loss)) throw ValueError("the loss is not finite, and so has no gradient");
    network_.backward(d_logits_, batch_);
    // The batch's gradient is that of the batch's mean loss.
    for_each_parameter_pair(sum_, batch_, [=](double* sum, const float* part, Index size) {
      for (Index i = 0; i < size; ++i) sum[i] += static_cast<double>(count) * static_cast<double>(part[i]);
    });
    images_ += count;
  }

  std::int64_t images() const noexcept { return images_; }

  /// One value a parameter, in the shape of the model. Throws ValueError if nothing was observed.
  Gradient gradient() const {
    if (images_ == 0) throw ValueError("a mean gradient needs an image");
    Gradient mean = sum_;
    for_each_parameter(mean, [&](const std::string&, auto& values, Index, Index) {
      values /= static_cast<double>(images_);
    });
    return mean;
  }

 private:
  Index classes_;
  Backpropagation<Model> network_;
  Model batch_;
  Gradient sum_;
  Matrix<float> targets_, logits_, d_logits_;
  std::int64_t images_ = 0;
};

}  // namespace vbp::inline VBP_ABI
