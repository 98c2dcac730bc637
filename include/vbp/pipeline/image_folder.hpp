#pragma once
/// Image files as an ImageSource, which the other functions of pipeline/ take. Needs the component
/// vbp::images (libjpeg, libpng).
///
///     auto images = vbp::image_folder("train/");                  // calibration: no labels needed
///     auto labelled = vbp::labelled_image_folder("val/", model);  // evaluation: one sub-folder per class
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
  /// Use at most this many images, spread evenly over the sub-folders. Each sub-folder contributes its first
  /// images in name order.
  std::optional<Index> limit = std::nullopt;
};

/// The images of a list of files, in the order of the list.
VBP_FUNCTION ImageSource image_files(std::vector<io::ImageEntry> entries);

/// All JPEG and PNG files of a folder and its sub-folders, without labels. Throws FileError as
/// io::find_images does.
VBP_FUNCTION ImageSource image_folder(const std::filesystem::path& folder,
                                      const ImageFolderOptions& options = {});

/// The images of a folder that has one sub-folder per class, with the labels of the model's classes. Throws
/// FileError as io::labelled_images does, and for a model without a classification head.
VBP_FUNCTION ImageSource labelled_image_folder(const std::filesystem::path& folder, const AnyModel& model,
                                               const ImageFolderOptions& options = {});

/// The entries of the images of labelled_image_folder(), for image_files().
VBP_FUNCTION std::vector<io::ImageEntry> labelled_entries(const std::filesystem::path& folder,
                                                          const AnyModel& model,
                                                          const ImageFolderOptions& options = {});

/// Reads one image file and preprocesses it as the model's input, [1, image_elements]. Throws FileError if it
/// cannot be decoded.
VBP_FUNCTION Matrix<float> read_image(const std::filesystem::path& file, const AnyModel& model);

/// The most likely classes of one image file, the most likely first.
VBP_FUNCTION std::vector<ClassScore> classify(const AnyModel& model, const std::filesystem::path& file,
                                              const ClassifyOptions& options = {}, Context context = {});

}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/image_folder-inl.hpp"
#endif
