#pragma once
/// What a model sees in images:
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

/// A class that an image may be of.
struct ClassScore {
  Index index = 0;
  std::string name;    ///< empty where the model names no classes
  double score = 0.0;  ///< softmax over all classes
};

struct ClassifyOptions {
  Index top = 5;  ///< how many classes an image gets, at most
};

/// The most likely classes of each image of `pixels` [n, channels * size * size], normalised; most likely
/// first, of equal scores the lower class. Throws ValueError for a model without a classification head,
/// options out of range and outputs that are not finite, and ShapeError for pixels of another size.
VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options = {},
                                                           Context context = {});

/// The same with an inference of the model that is used again and again.
VBP_FUNCTION std::vector<std::vector<ClassScore>> classify(const AnyModel& model, AnyInference& inference,
                                                           const MatrixView<float>& pixels,
                                                           const ClassifyOptions& options = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/classify-inl.hpp"
#endif
