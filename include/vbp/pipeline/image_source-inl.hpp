#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/pipeline/image_source.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// Pixels, labels and hashes of images in memory. The template parameter only makes header-only programs that
/// do not use it not compile it; it is float.
template <class T>
class MemoryImages final : public ImageSource::Images, public std::enable_shared_from_this<MemoryImages<T>> {
 public:
  MemoryImages(Matrix<T> pixels, std::vector<Index> labels)
      : pixels_(std::move(pixels)), labels_(std::move(labels)) {
    for (Index i = 0; i < pixels_.rows(); ++i) {
      const auto row = std::span(pixels_.row(i).data(), static_cast<std::size_t>(pixels_.cols()));
      hashes_.push_back(io::hash_bytes(std::as_bytes(row)));
    }
  }

  Index size() const override { return pixels_.rows(); }
  Index label(Index image) const override {
    return labels_.empty() ? Index{-1} : labels_[static_cast<std::size_t>(image)];
  }
  std::string name(Index image) const override { return "image " + std::to_string(image); }
  std::vector<std::optional<io::Hash128>> hashes(const Context&) const override {
    return {hashes_.begin(), hashes_.end()};
  }
  std::unique_ptr<ImagePass> pass(const ImagePassOptions& options, const Context&) const override;

  void copy(Index image, io::ImageBatch& batch) const {
    batch.pixels.row(batch.size()) = pixels_.row(image);
    batch.labels.push_back(label(image));
    batch.hashes.push_back(hashes_[static_cast<std::size_t>(image)]);
    batch.paths.emplace_back(name(image));
  }
  Index elements() const { return pixels_.cols(); }

 private:
  Matrix<T> pixels_;
  std::vector<Index> labels_;
  std::vector<io::Hash128> hashes_;
};

template <class T>
class MemoryPass final : public ImagePass {
 public:
  MemoryPass(std::shared_ptr<const MemoryImages<T>> images, std::vector<Index> order, Index batch)
      : images_(std::move(images)), order_(std::move(order)), batch_(batch) {}

  bool next(io::ImageBatch& batch) override {
    batch.labels.clear();
    batch.hashes.clear();
    batch.paths.clear();
    const Index count = std::min(batch_, static_cast<Index>(order_.size()) - position_);
    if (count == 0) return false;
    batch.pixels.resize(count, images_->elements());
    for (Index i = 0; i < count; ++i) images_->copy(order_[static_cast<std::size_t>(position_++)], batch);
    return true;
  }
  Index position() const override { return position_; }
  const std::vector<io::ImageFailure>& failures() const override { return failures_; }

 private:
  std::shared_ptr<const MemoryImages<T>> images_;
  std::vector<Index> order_;
  Index batch_;
  Index position_ = 0;
  std::vector<io::ImageFailure> failures_;  ///< stays empty
};

VBP_FUNCTION [[noreturn]] void fail_without_images(const std::vector<io::ImageFailure>& failures) {
  if (failures.empty()) throw ValueError("there are no images");
  const auto& [path, reason] = failures.front();
  throw FileError(path.string(),
                  reason + "; none of the " + std::to_string(failures.size()) + " images could be decoded");
}

VBP_FUNCTION std::vector<Index> pass_order(const ImagePassOptions& options, Index size) {
  if (options.batch < 1) {
    throw ValueError("a batch of " + std::to_string(options.batch) + " images is empty");
  }
  std::vector<Index> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), Index{0});
  if (!options.order) return order;
  for (const Index image : *options.order) {
    if (image < 0 || image >= size) {
      throw ValueError("image " + std::to_string(image) + " of " + std::to_string(size) + " does not exist");
    }
  }
  return *options.order;
}

template <class T>
std::unique_ptr<ImagePass> MemoryImages<T>::pass(const ImagePassOptions& options, const Context&) const {
  return std::make_unique<MemoryPass<T>>(this->shared_from_this(), pass_order(options, size()),
                                         options.batch);
}

}  // namespace detail

VBP_FUNCTION ImageSource images_in_memory(Matrix<float> pixels, std::vector<Index> labels) {
  if (pixels.rows() < 1) throw ValueError("there are no images");
  if (!labels.empty() && static_cast<Index>(labels.size()) != pixels.rows()) {
    throw ShapeError(std::to_string(pixels.rows()) + " images with " + std::to_string(labels.size()) +
                     " labels");
  }
  return ImageSource(std::make_shared<detail::MemoryImages<float>>(std::move(pixels), std::move(labels)));
}

VBP_FUNCTION void require_labels(const ImageSource& images, Index classes) {
  for (Index i = 0; i < images.size(); ++i) {
    const Index label = images.label(i);
    if (label < 0) {
      throw ValueError(images.name(i) +
                       " has no class; labelled_image_folder() gives the images of a folder theirs");
    }
    if (label >= classes) {
      throw ValueError(images.name(i) + " has class " + std::to_string(label) + " of a model of " +
                       std::to_string(classes) + " classes");
    }
  }
}

VBP_FUNCTION void require_disjoint(const ImageSource& evaluation, const std::vector<io::Hash128>& calibration,
                                   const Context& context) {
  std::vector<io::Hash128> sorted = calibration;
  std::sort(sorted.begin(), sorted.end());
  const auto hashes = evaluation.hashes(context);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (!hashes[i] || !std::binary_search(sorted.begin(), sorted.end(), *hashes[i])) continue;
    throw FileError(evaluation.name(static_cast<Index>(i)),
                    "is a calibration image too; evaluating on what was calibrated on flatters the result");
  }
}

}  // namespace vbp::inline VBP_ABI
