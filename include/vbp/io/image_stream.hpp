#pragma once
/// Image files to batches of network inputs, decoded ahead of the network by threads of their own. Needs
/// libjpeg and libpng.

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "vbp/core/context.hpp"
#include "vbp/core/types.hpp"
#include "vbp/io/hash.hpp"
#include "vbp/io/image_batch.hpp"
#include "vbp/io/image_folder.hpp"
#include "vbp/io/preprocessing.hpp"

namespace vbp::inline VBP_ABI::io {

/// How images are read. Memory is (ahead + 1) * batch network inputs and one decoded image a thread.
struct ImageStreamOptions {
  Index batch = 32;     ///< images a batch
  Index ahead = 2;      ///< batches decoded ahead of the one that is asked for
  bool strict = false;  ///< the first image that cannot be decoded ends the stream with its error
};

/// Makes the network input of a decoded image; `index` is its place in the list. Called from several threads.
using ImageTransform = std::function<void(const Image& image, std::size_t index, std::span<float> out)>;

/// Decodes and transforms a list of images and returns them in its order, in batches whose content does not
/// depend on the number of threads. An image that cannot be decoded is left out and recorded, and the next
/// one takes its place. To be used from one thread; destroying it early stops the decoding.
class ImageStream {
 public:
  /// Begins to decode at once, on as many threads of its own as the context has. Throws ValueError for
  /// options or preprocessing out of range.
  VBP_FUNCTION ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing,
                           ImageStreamOptions options = {}, const Context& context = {});

  /// The same with another transform than evaluation's; `preprocessing` says the inputs' size.
  VBP_FUNCTION ImageStream(std::vector<ImageEntry> entries, const Preprocessing& preprocessing,
                           ImageTransform transform, ImageStreamOptions options = {},
                           const Context& context = {});

  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;
  ~ImageStream() { stop(); }

  /// Fills `batch` with the next images, fewer than asked for only at the end of the list. Returns false
  /// where none are left. Under `strict`, and for errors that are no fault of an image (memory), it throws
  /// the error of the first image in order that has one, and the stream has ended.
  VBP_FUNCTION bool next(ImageBatch& batch);

  /// Entries of the list that the batches so far have used, images that were left out included.
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

  VBP_FUNCTION void start(Index threads);
  VBP_FUNCTION void work() noexcept;
  VBP_FUNCTION void fill(Slot& slot, std::size_t index) noexcept;
  VBP_FUNCTION void take(ImageBatch& batch);

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    free_.notify_all();
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
  std::condition_variable free_;  ///< a slot can be filled
  std::condition_variable done_;  ///< a slot is ready
  std::size_t begun_ = 0;         // next image to decode; with taken_ and the slots' ready, guarded by mutex_
  std::size_t taken_ = 0;         // next image to hand out
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace vbp::inline VBP_ABI::io

#if !defined(VBP_COMPILED)
#include "vbp/io/image_stream-inl.hpp"
#endif
