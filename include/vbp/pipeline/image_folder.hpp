#pragma once
/// Images in files, for everything in pipeline/ that takes an ImageSource. Needs the component vbp::images
/// (libjpeg, libpng).
///
///     auto images = vbp::image_folder("train/");                       // calibration: no labels needed
///     auto labelled = vbp::labelled_image_folder("val/", model);       // evaluation: one sub-folder a class
///     auto classes = vbp::classify(model, std::filesystem::path("cat.jpg"));

#include <filesystem>
#include <optional>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/pipeline/any_model.hpp"
#include "vbp/pipeline/classify.hpp"
#include "vbp/pipeline/image_source.hpp"

namespace vbp::inline VBP_ABI {

struct ImageFolderOptions {
  /// Only so many images, spread evenly over the sub-folders, the first of each in name order.
  std::optional<Index> limit = std::nullopt;
};

/// The images of a list of files, in its order.
VBP_FUNCTION ImageSource image_files(std::vector<io::ImageEntry> entries);

/// All JPEG and PNG files of a folder and below it, without labels. Throws FileError as io::find_images does.
VBP_FUNCTION ImageSource image_folder(const std::filesystem::path& folder,
                                      const ImageFolderOptions& options = {});

/// The images of a folder with one sub-folder a class, labelled for the model. Throws FileError as
/// io::labelled_images does, and for a model without a classification head.
VBP_FUNCTION ImageSource labelled_image_folder(const std::filesystem::path& folder, const AnyModel& model,
                                               const ImageFolderOptions& options = {});

/// The entries of these images, for image_files.
VBP_FUNCTION std::vector<io::ImageEntry> labelled_entries(const std::filesystem::path& folder,
                                                          const AnyModel& model,
                                                          const ImageFolderOptions& options = {});

/// One image file as the model's input, [1, image_elements]. Throws FileError if it cannot be decoded.
VBP_FUNCTION Matrix<float> read_image(const std::filesystem::path& file, const AnyModel& model);

/// The most likely classes of one image file, most likely first.
VBP_FUNCTION std::vector<ClassScore> classify(const AnyModel& model, const std::filesystem::path& file,
                                              const ClassifyOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/image_folder-inl.hpp"
#endif
