#pragma once
/// Image files to batches of network inputs, decoded ahead of the network by threads of their own.

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "vbp/core/error.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/decode.hpp"
#include "vbp/io/file.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI::io {

/// Consecutive decoded images: row i of `pixels` is one network input [3, size, size]; the vectors are as
/// long. `hashes` are of the files' bytes, so a copy of a file under another name is told by them.
struct ImageBatch {
  Matrix<float> pixels;
  std::vector<Index> labels;
  std::vector<Hash128> hashes;
  std::vector<std::filesystem::path> paths;

  Index size() const noexcept { return static_cast<Index>(paths.size()); }
};

/// An image that could not be decoded, and why.
struct ImageFailure {
  std::filesystem::path path;
  std::string reason;
};

/// `batch`: images a batch. `threads`: decoding threads, 0 for one a hardware thread. `ahead`: batches
/// decoded ahead of the one that is asked for; memory is (ahead + 1) * batch inputs and one decoded image a
/// thread. `strict`: the first image that cannot be decoded ends the stream with its error.
struct ImageStreamOptions {
  Index batch = 32;
  int threads = 0;
  Index ahead = 2;
  bool strict = false;
};

/// Makes the network input of a decoded image; `index` is its place in the list. Called from several threads.
using ImageTransform = std::function<void(const Image& image, std::size_t index, std::span<float> out)>;

/// Decodes and transforms a list of images and hands them out in its order, in batches whose content does not
/// depend on the number of threads: an image that cannot be decoded is left out, recorded, and its place
/// taken by the next one. To be used from one thread; destroying it early stops the decoding.
class ImageStream {
 public:
  /// Begins to decode at once. Throws ValueError for options or preprocessing out of range.
  ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing,
              ImageStreamOptions options = {})
      : ImageStream(
            std::move(entries), preprocessing,
            [preprocessing](const Image& image, std::size_t, std::span<float> out) {
              evaluation_transform(image, preprocessing, out);
            },
            options) {}

  /// The same with another transform than that for evaluation; `preprocessing` says the inputs' size.
  ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing, ImageTransform transform,
              ImageStreamOptions options = {})
      : entries_(std::move(entries)), transform_(std::move(transform)), options_(options) {
    validate(preprocessing);
    if (options_.batch < 1)
      throw ValueError("a batch of " + std::to_string(options_.batch) + " images is empty");
    if (options_.ahead < 0 || options_.threads < 0)
      throw ValueError("negative number of threads or batches ahead");
    input_size_ = static_cast<std::size_t>(3 * preprocessing.image_size * preprocessing.image_size);
    // Not more slots than images: a large batch for a short list costs nothing.
    const auto count = static_cast<Index>(entries_.size());
    const Index batches = std::min(options_.ahead, count / options_.batch) + 1;
    slots_.resize(static_cast<std::size_t>(std::min(batches * options_.batch, count)));
    auto threads = static_cast<std::size_t>(options_.threads);
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    threads = std::min(threads, slots_.size());
    workers_.reserve(threads);
    try {
      for (std::size_t i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;
  ~ImageStream() { stop(); }

  /// Fills `batch` with the next images, fewer than asked for only at the end of the list, and returns false
  /// where none are left. With `strict`, and for what is no fault of an image (memory), it throws the error
  /// of the first image in order that has one, and the stream has ended.
  bool next(ImageBatch& batch) {
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

  /// Entries of the list that the batches so far have used up, those left out among them.
  std::size_t position() const noexcept { return taken_; }

  /// The images left out so far, in the order of the list.
  const std::vector<ImageFailure>& failures() const noexcept { return failures_; }

 private:
  /// One image between the worker that decodes it and the caller.
  struct Slot {
    bool ready = false;
    std::vector<float> pixels;
    Hash128 hash{};
    std::string failure;
    std::exception_ptr error;
  };

  Slot& slot_of(std::size_t index) noexcept { return slots_[index % slots_.size()]; }

  void work() noexcept {
    for (;;) {
      std::size_t index = 0;
      {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [this] {
          return stopped_ || begun_ == entries_.size() || begun_ < taken_ + slots_.size();
        });
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

  void fill(Slot& slot, std::size_t index) noexcept {
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

  void take(ImageBatch& batch) {
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
      failures_.push_back({entry.path, without_prefix(slot.failure, entry.path.string() + ": ")});
    }
    {
      const std::lock_guard lock(mutex_);
      slot.ready = false;
      ++taken_;
    }
    room_.notify_one();
  }

  static std::string without_prefix(const std::string& text, const std::string& prefix) {
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  }

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  std::vector<ImageEntry> entries_;
  ImageTransform transform_;
  ImageStreamOptions options_;
  std::size_t input_size_ = 0;
  std::vector<Slot> slots_;
  std::vector<ImageFailure> failures_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable done_;
  std::size_t begun_ = 0;  // next image to decode; with taken_ and the slots' ready, guarded by mutex_
  std::size_t taken_ = 0;  // next image to hand out
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace vbp::inline VBP_ABI::io
