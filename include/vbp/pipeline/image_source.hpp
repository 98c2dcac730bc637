#pragma once
/// Where calibration, evaluation and training take their images from: files (pipeline/image_folder.hpp) or
/// memory:
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

/// The random changes that training makes to images. What becomes of the image at place i of a pass depends
/// on seed, epoch and first + i alone.
struct ImageAugmentation {
  io::Augmentation options = {};
  std::uint64_t seed = 1;
  std::uint64_t epoch = 0;
  std::uint64_t first = 0;  ///< place of the pass's first image in its epoch
};

/// How a source is gone through once.
struct ImagePassOptions {
  io::Preprocessing preprocessing = {};
  Index batch = 32;
  /// Whether the first image that cannot be decoded ends the pass with its FileError instead of being left
  /// out.
  bool strict = false;
  /// The images of the pass, in this order; all of them in their own order where there is none.
  std::optional<std::vector<Index>> order = std::nullopt;
  std::optional<ImageAugmentation> augmentation = std::nullopt;
};

/// One way through the images of a source, batch by batch. To be used by one thread.
class ImagePass {
 public:
  ImagePass() = default;
  ImagePass(const ImagePass&) = delete;
  ImagePass& operator=(const ImagePass&) = delete;
  virtual ~ImagePass() = default;

  /// Fills `batch` with the next images, fewer than asked for only at the end, and returns false where none
  /// are left.
  virtual bool next(io::ImageBatch& batch) = 0;
  /// How many images of the pass's order are used up, those that were left out included.
  virtual Index position() const = 0;
  /// The images left out so far.
  virtual const std::vector<io::ImageFailure>& failures() const = 0;
};

/// A list of images: a cheap handle whose copies share what is behind it. Several threads may use it at the
/// same time.
class ImageSource {
 public:
  /// What a kind of source implements; derive from it to bring images of your own.
  class Images {
   public:
    Images() = default;
    Images(const Images&) = delete;
    Images& operator=(const Images&) = delete;
    virtual ~Images() = default;

    virtual Index size() const = 0;
    /// The class of an image; -1 for an image without one.
    virtual Index label(Index image) const = 0;
    /// A name for messages: the path of a file.
    virtual std::string name(Index image) const = 0;
    /// The hash of each image's content, none where it cannot be read. Throws Cancelled.
    virtual std::vector<std::optional<io::Hash128>> hashes(const Context& context) const = 0;
    /// Throws ValueError for options out of range or that this kind of source does not know.
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

/// Images in memory: `pixels` [n, channels * size * size], normalised as the model wants them, and one label
/// an image or none at all. They take no part in preprocessing and augmentation. Throws ShapeError for
/// another number of labels and ValueError if there are no images.
VBP_FUNCTION ImageSource images_in_memory(Matrix<float> pixels, std::vector<Index> labels = {});

/// Throws ValueError, naming the first such image, if an image has no class or one of `classes` or above.
VBP_FUNCTION void require_labels(const ImageSource& images, Index classes);

/// Throws FileError, naming the image, if an image of `evaluation` has the content of a calibration image:
/// evaluating on what was calibrated on flatters the result.
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
