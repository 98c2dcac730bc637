#pragma once
/// The images for calibration, evaluation and training. They come from files (pipeline/image_folder.hpp) or
/// from memory:
///
///     vbp::ImageSource images = vbp::images_in_memory(pixels, labels);  // [n, channels * size * size]
///     vbp::prune(model, images, {.rate = 0.5});

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/config.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/augmentation.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI {

/// The random changes that training makes to images. The change of the image at position i of a pass depends
/// only on seed, epoch and first + i.
struct ImageAugmentation {
  io::Augmentation options = {};
  std::uint64_t seed = 1;
  std::uint64_t epoch = 0;
  std::uint64_t first = 0;  ///< position of the first image of the pass in its epoch
};

/// Options of one pass over the images of a source.
struct ImagePassOptions {
  io::Preprocessing preprocessing = {};
  Index batch = 32;
  /// If true, the first image that cannot be decoded ends the pass with a FileError. Otherwise such images
  /// are skipped.
  bool strict = false;
  /// Indices of the images of the pass, in order. Without a value, the pass has all images in the order of
  /// the source.
  std::optional<std::vector<Index>> order = std::nullopt;
  std::optional<ImageAugmentation> augmentation = std::nullopt;
};

/// One pass over the images of a source, batch by batch. Only one thread may use it.
class ImagePass {
 public:
  ImagePass() = default;
  ImagePass(const ImagePass&) = delete;
  ImagePass& operator=(const ImagePass&) = delete;
  virtual ~ImagePass() = default;

  /// Fills `batch` with the next images. Only the last batch may have fewer images than
  /// ImagePassOptions::batch. Returns false if no images are left.
  virtual bool next(io::ImageBatch& batch) = 0;
  /// Number of images that the pass has taken so far, including skipped ones.
  virtual Index position() const = 0;
  /// The images skipped so far.
  virtual const std::vector<io::ImageFailure>& failures() const = 0;
};

/// A list of images. It is a cheap handle: copies share the images. Several threads may use it at the same
/// time.
class ImageSource {
 public:
  /// The interface of a kind of source. Derive from it to use your own images.
  class Images {
   public:
    Images() = default;
    Images(const Images&) = delete;
    Images& operator=(const Images&) = delete;
    virtual ~Images() = default;

    virtual Index size() const = 0;
    /// The class of an image, or -1 if it has none.
    virtual Index label(Index image) const = 0;
    /// A name for messages, for example the path of a file.
    virtual std::string name(Index image) const = 0;
    /// The hash of each image's content. No value if the image cannot be read. Throws Cancelled.
    virtual std::vector<std::optional<io::Hash128>> hashes(const Context& context) const = 0;
    /// Starts a pass. Throws ValueError for options that are out of range or that this kind of source does
    /// not support.
    virtual std::unique_ptr<ImagePass> pass(const ImagePassOptions& options,
                                            const Context& context) const = 0;
  };

  explicit ImageSource(std::shared_ptr<const Images> images) : images_(std::move(images)) {}

  Index size() const { return images_->size(); }
  Index label(Index image) const { return images_->label(image); }
  std::string name(Index image) const { return images_->name(image); }
  std::vector<std::optional<io::Hash128>> hashes(const Context& context = {}) const {
    return images_->hashes(context);
  }
  std::unique_ptr<ImagePass> pass(const ImagePassOptions& options, const Context& context = {}) const {
    return images_->pass(options, context);
  }

 private:
  std::shared_ptr<const Images> images_;
};

namespace detail {

/// The order of a pass through `size` images. Throws ValueError for options out of range.
VBP_FUNCTION std::vector<Index> pass_order(const ImagePassOptions& options, Index size);

}  // namespace detail

/// Images in memory. `pixels` [n, channels * size * size] are normalised as the model needs them. `labels`
/// has one label per image or is empty. The images are neither preprocessed nor augmented. Throws ShapeError
/// for any other number of labels, and ValueError if there are no images.
VBP_FUNCTION ImageSource images_in_memory(Matrix<float> pixels, std::vector<Index> labels = {});

/// Throws ValueError if the class of an image is not in [0, classes). The message names the first such image.
VBP_FUNCTION void require_labels(const ImageSource& images, Index classes);

/// Throws FileError if an image of `evaluation` has the content of a calibration image. The message names the
/// image. Evaluating on calibration images would give too good a result.
VBP_FUNCTION void require_disjoint(const ImageSource& evaluation, const std::vector<io::Hash128>& calibration,
                                   const Context& context = {});

namespace detail {

/// The order of a pass through `size` images. Throws ValueError for options out of range.
VBP_FUNCTION std::vector<Index> pass_order(const ImagePassOptions& options, Index size);

/// Throws the error of a run that could decode none of its images.
VBP_FUNCTION [[noreturn]] void fail_without_images(const std::vector<io::ImageFailure>& failures);

}  // namespace detail
}  // namespace vbp::inline VBP_ABI

#if !defined(VBP_COMPILED)
#include "vbp/pipeline/image_source-inl.hpp"
#endif
