#pragma once
/// Measures top-1 and top-5 of a model on labelled images:
///
///     const auto images = vbp::labelled_image_folder("val/", model);
///     std::cout << 100 * vbp::evaluate(model, images).top1() << " %\n";

#include <string>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/image_source.hpp"

namespace vbp::inline VBP_ABI {

struct EvaluateOptions {
  Index batch = 32;
  bool strict = false;              ///< stop at the first image that cannot be decoded
  std::string task = "evaluating";  ///< name of the work in progress reports
};

struct Evaluation {
  Index images = 0;
  Index correct = 0;   ///< images whose class has the largest logit, and the lowest index if several have it
  Index correct5 = 0;  ///< images whose class is among the five largest
  Index classes = 0;
  double seconds = 0.0;
  std::string hits = {};  ///< one character per image, in order: '1' if it is correct, otherwise '0'
  std::vector<io::ImageFailure> failures = {};  ///< images that were skipped

  double top1() const { return static_cast<double>(correct) / static_cast<double>(images); }
  double top5() const { return static_cast<double>(correct5) / static_cast<double>(images); }
  double images_per_second() const { return static_cast<double>(images) / seconds; }
};

/// Runs the model on the images and compares its outputs with the labels. Throws FileError if no image can be
/// decoded or an output is not finite, ValueError for images without labels, and Cancelled.
VBP_FUNCTION Evaluation evaluate(const AnyModel& model, const ImageSource& images,
                                 const EvaluateOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/evaluate-inl.hpp"
#endif
