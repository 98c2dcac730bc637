#pragma once
/// The threads that kernels run on and the scratch memory of each.

#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"

namespace vbp::kernels {

/// A thread pool with one scratch buffer a thread. Buffers grow to the largest request and stay.
template <class T>
class Workspace {
 public:
  /// `threads` in all; 0 asks for one a hardware thread.
  explicit Workspace(int threads = 0) : pool_(threads), scratch_(static_cast<std::size_t>(pool_.size())) {}

  ThreadPool& pool() noexcept { return pool_; }

  /// Makes every thread's scratch at least `elements` long. To be called outside parallel loops.
  void reserve(Index elements) {
    for (AlignedBuffer<T>& buffer : scratch_) buffer.reserve(elements);
  }

  T* scratch(int worker) noexcept { return scratch_[static_cast<std::size_t>(worker)].data(); }

  /// Bytes of scratch of all threads.
  Index bytes() const noexcept {
    Index sum = 0;
    for (const AlignedBuffer<T>& buffer : scratch_) sum += buffer.size() * static_cast<Index>(sizeof(T));
    return sum;
  }

 private:
  ThreadPool pool_;
  std::vector<AlignedBuffer<T>> scratch_;
};

}  // namespace vbp::kernels
