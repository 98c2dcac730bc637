#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/message.hpp"
#include "vbp/io/decode.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/image_stream.hpp"

namespace vbp::inline VBP_ABI::io {

VBP_FUNCTION ImageStream::ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing,
                                      ImageStreamOptions options, const Context& context)
    : ImageStream(std::move(entries), preprocessing,
                  ImageTransform([preprocessing](const Image& image, std::size_t, std::span<float> out) {
                    evaluation_transform(image, preprocessing, out);
                  }),
                  options, context) {}

VBP_FUNCTION ImageStream::ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing,
                                      ImageTransform transform, ImageStreamOptions options,
                                      const Context& context)
    : entries_(std::move(entries)), transform_(std::move(transform)), options_(options) {
  validate(preprocessing);
  if (options_.batch < 1) throw_value_error({"a batch of ", options_.batch, " images is empty"});
  if (options_.ahead < 0) throw_value_error({"negative number of batches ahead"});
  input_size_ = static_cast<std::size_t>(3 * preprocessing.image_size * preprocessing.image_size);
  // Not more slots than images: a large batch for a short list costs nothing.
  const auto count = static_cast<Index>(entries_.size());
  const Index batches = std::min(options_.ahead, count / options_.batch) + 1;
  slots_.resize(static_cast<std::size_t>(std::min(batches * options_.batch, count)));
  start(context.threads());
}

VBP_FUNCTION void ImageStream::start(Index threads) {
  const std::size_t count = std::min(static_cast<std::size_t>(threads), slots_.size());
  workers_.reserve(count);
  try {
    for (std::size_t i = 0; i < count; ++i) workers_.emplace_back([this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

VBP_FUNCTION bool ImageStream::next(ImageBatch& batch) {
  batch.labels.clear();
  batch.hashes.clear();
  batch.paths.clear();
  const auto left = static_cast<Index>(entries_.size() - taken_);
  batch.pixels.resize(std::min(options_.batch, left), static_cast<Index>(input_size_));
  while (batch.size() < options_.batch && taken_ < entries_.size()) take(batch);
  if (batch.size() < batch.pixels.rows()) {
    batch.pixels.conservativeResize(batch.size(), Eigen::NoChange);
  }
  return batch.size() > 0;
}

VBP_FUNCTION void ImageStream::work() noexcept {
  for (;;) {
    std::size_t index = 0;
    {
      std::unique_lock lock(mutex_);
      free_.wait(lock,
                 [this] { return stopped_ || begun_ == entries_.size() || begun_ < taken_ + slots_.size(); });
      if (stopped_ || begun_ == entries_.size()) return;
      index = begun_++;
    }
    Slot& slot = slot_of(index);
    fill(slot, index);
    {
      const std::lock_guard lock(mutex_);
      slot.ready = true;
    }
    done_.notify_one();
  }
}

VBP_FUNCTION void ImageStream::fill(Slot& slot, std::size_t index) noexcept {
  const std::filesystem::path& path = entries_[index].path;
  try {
    slot.error = nullptr;
    slot.failure.clear();
    slot.pixels.resize(input_size_);
    try {
      const MappedFile file(path);
      slot.hash = hash_bytes(file.bytes());
      transform_(decode_image(file.bytes(), path.string()), index, slot.pixels);
    } catch (const Error& error) {
      slot.failure = error.what();
      if (options_.strict) throw;
    }
  } catch (...) {
    slot.error = std::current_exception();
  }
}

namespace detail {

VBP_FUNCTION std::string without_prefix(const std::string& text, const std::string& prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

}  // namespace detail

VBP_FUNCTION void ImageStream::take(ImageBatch& batch) {
  Slot& slot = slot_of(taken_);
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&slot] { return slot.ready; });
  }
  if (slot.error) {
    const std::exception_ptr error = slot.error;
    stop();
    taken_ = entries_.size();
    std::rethrow_exception(error);
  }
  const ImageEntry& entry = entries_[taken_];
  if (slot.failure.empty()) {
    std::copy(slot.pixels.begin(), slot.pixels.end(), batch.pixels.row(batch.size()).data());
    batch.labels.push_back(entry.label);
    batch.hashes.push_back(slot.hash);
    batch.paths.push_back(entry.path);
  } else {
    failures_.push_back({entry.path, detail::without_prefix(slot.failure, entry.path.string() + ": ")});
  }
  {
    const std::lock_guard lock(mutex_);
    slot.ready = false;
    ++taken_;
  }
  free_.notify_one();
}

}  // namespace vbp::inline VBP_ABI::io
