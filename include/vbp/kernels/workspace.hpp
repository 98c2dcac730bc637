#pragma once
/// The threads that kernels run on, and the scratch memory of each thread.

#include <utility>
#include <vector>

#include "vbp/core/aligned.hpp"
#include "vbp/core/context.hpp"
#include "vbp/core/threads.hpp"
#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI::kernels {

/// The threads of a Context with one scratch buffer per thread. A buffer grows to the largest request and
/// keeps its size.
template <class T>
class Workspace {
 public:
  explicit Workspace(Context context = {})
      : context_(std::move(context)), scratch_(static_cast<std::size_t>(context_.threads())) {}
  /// Uses its own pool of `threads` threads; 0 means one per hardware thread.
  explicit Workspace(int threads) : Workspace(Context(threads)) {}

  const Context& context() const noexcept { return context_; }
  ThreadPool& pool() const noexcept { return context_.pool(); }

  /// Makes every thread's scratch buffer at least `elements` long. Do not call it inside a parallel loop.
  void reserve(Index elements) {
    for (AlignedBuffer<T>& buffer : scratch_) buffer.reserve(elements);
  }

  T* scratch(int worker) noexcept { return scratch_[static_cast<std::size_t>(worker)].data(); }

  /// Bytes of all scratch buffers together.
  Index bytes() const noexcept {
    Index sum = 0;
    for (const AlignedBuffer<T>& buffer : scratch_) sum += buffer.size() * static_cast<Index>(sizeof(T));
    return sum;
  }

 private:
  Context context_;
  std::vector<AlignedBuffer<T>> scratch_;
};

}  // namespace vbp::inline VBP_ABI::kernels
