#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/random.hpp"
#include "vbp/io/augmentation.hpp"
#include "vbp/io/decode.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/image_stream.hpp"
#include "vbp/pipeline/image_folder.hpp"

namespace vbp::inline VBP_ABI {

namespace detail {

/// A pass over files. The template parameter, always void, keeps the class from being compiled where it is
/// not used.
template <class>
class FilePass final : public ImagePass {
 public:
  FilePass(std::vector<io::ImageEntry> entries, const ImagePassOptions& options, const Context& context)
      : stream_(std::move(entries), options.preprocessing, transform_of(options),
                {.batch = options.batch, .strict = options.strict}, context) {}

  bool next(io::ImageBatch& batch) override { return stream_.next(batch); }
  Index position() const override { return static_cast<Index>(stream_.position()); }
  const std::vector<io::ImageFailure>& failures() const override { return stream_.failures(); }

 private:
  static io::ImageTransform transform_of(const ImagePassOptions& options) {
    const io::Preprocessing preprocessing = options.preprocessing;
    if (!options.augmentation) {
      return [preprocessing](const io::Image& image, std::size_t, std::span<float> out) {
        io::evaluation_transform(image, preprocessing, out);
      };
    }
    const ImageAugmentation augmentation = *options.augmentation;
    return [=](const io::Image& image, std::size_t index, std::span<float> out) {
      Random random(derive_seed(augmentation.seed, augmentation.epoch, augmentation.first + index));
      io::training_transform(image, preprocessing, augmentation.options, random, out);
    };
  }

  io::ImageStream stream_;
};

template <class Unused>
class FileImages final : public ImageSource::Images {
 public:
  explicit FileImages(std::vector<io::ImageEntry> entries) : entries_(std::move(entries)) {}

  Index size() const override { return static_cast<Index>(entries_.size()); }
  Index label(Index image) const override { return entry(image).label; }
  std::string name(Index image) const override { return entry(image).path.string(); }
  std::vector<std::optional<io::Hash128>> hashes(const Context& context) const override {
    std::vector<std::optional<io::Hash128>> hashes;
    for (const io::ImageEntry& image : entries_) {
      context.require_not_cancelled();
      try {
        hashes.emplace_back(io::hash_bytes(io::MappedFile(image.path).bytes()));
      } catch (const FileError&) {
        hashes.emplace_back();  // a pass reports it
      }
    }
    return hashes;
  }
  std::unique_ptr<ImagePass> pass(const ImagePassOptions& options, const Context& context) const override {
    std::vector<io::ImageEntry> entries;
    for (const Index image : pass_order(options, size())) entries.push_back(entry(image));
    return std::make_unique<FilePass<Unused>>(std::move(entries), options, context);
  }

 private:
  const io::ImageEntry& entry(Index image) const { return entries_[static_cast<std::size_t>(image)]; }

  std::vector<io::ImageEntry> entries_;
};

VBP_FUNCTION std::vector<io::ImageEntry> limited(std::vector<io::ImageEntry> entries,
                                                 const ImageFolderOptions& options) {
  return options.limit ? io::spread(entries, *options.limit) : entries;
}

}  // namespace detail

VBP_FUNCTION ImageSource image_files(std::vector<io::ImageEntry> entries) {
  return ImageSource(std::make_shared<detail::FileImages<void>>(std::move(entries)));
}

VBP_FUNCTION ImageSource image_folder(const std::filesystem::path& folder,
                                      const ImageFolderOptions& options) {
  return image_files(detail::limited(io::find_images(folder), options));
}

VBP_FUNCTION std::vector<io::ImageEntry> labelled_entries(const std::filesystem::path& folder,
                                                          const AnyModel& model,
                                                          const ImageFolderOptions& options) {
  const Index classes = model.description().classes;
  if (classes == 0) {
    throw FileError(model.path(), "has no classification head, so that there is no top-1");
  }
  return detail::limited(io::labelled_images(folder, model.class_names(), classes), options);
}

VBP_FUNCTION ImageSource labelled_image_folder(const std::filesystem::path& folder, const AnyModel& model,
                                               const ImageFolderOptions& options) {
  return image_files(labelled_entries(folder, model, options));
}

VBP_FUNCTION Matrix<float> read_image(const std::filesystem::path& file, const AnyModel& model) {
  model.require_complete();
  const ModelDescription description = model.description();
  if (description.channels != 3)
    throw FileError(model.path(),
                    "image files have 3 channels, the model " + std::to_string(description.channels));
  const io::MappedFile bytes(file);
  Matrix<float> pixels(1, description.image_elements);
  io::evaluation_transform(io::decode_image(bytes.bytes(), file.string()), model.preprocessing(),
                           std::span(pixels.data(), static_cast<std::size_t>(pixels.size())));
  return pixels;
}

VBP_FUNCTION std::vector<ClassScore> classify(const AnyModel& model, const std::filesystem::path& file,
                                              const ClassifyOptions& options, Context context) {
  const Matrix<float> pixels = read_image(file, model);
  return classify(model, MatrixView<float>(pixels), options, std::move(context)).front();
}

}  // namespace vbp::inline VBP_ABI
