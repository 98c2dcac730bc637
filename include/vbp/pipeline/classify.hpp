#pragma once
/// Classifies images:
///
///     for (const vbp::ClassScore& seen : vbp::classify(model, pixels).front())
///       std::cout << seen.name << ' ' << seen.score << '\n';

#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/inference.hpp"

namespace vbp::inline VBP_ABI {

/// A class with its probability for one image.
struct ClassScore {
  Index index = 0;
  std::string name;    ///< empty if the model names no classes
  double score = 0.0;  ///< probability: softmax over all classes
};

struct ClassifyOptions {
  Index top = 5;  ///< at most this many classes per image
};

/// The most likely classes of each image, the most likely first. Classes with equal scores are in the order
/// of their indices. `pixels` [n, channels * size * size] are normalised. Throws ValueError for a model
/// without a classification head, options out of range and outputs that are not finite, and ShapeError for
/// pixels of another size.
VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options = {},
                                                           Context context = {});

/// The same with an inference of the model, so that many calls can share one.
VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model, AnyInference& inference,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/classify-inl.hpp"
#endif
