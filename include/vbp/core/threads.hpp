#pragma once
/// A fork-join thread pool for loops of independent iterations. Loops allocate nothing, and idle workers
/// sleep.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "vbp/core/types.hpp"

namespace vbp::inline VBP_ABI {

/// Runs loops on a fixed number of threads, including the calling one. Only one loop at a time uses all
/// threads. A loop that starts meanwhile, on another thread or inside a loop body, runs on the thread that
/// started it. The result of body(i) must not depend on the thread, so that results are the same for any pool
/// size.
class ThreadPool {
 public:
  /// Creates a pool of `threads` threads, including the calling one; 0 means one per hardware thread. Throws
  /// std::system_error if the system cannot start that many.
  explicit ThreadPool(int threads = 0) : shares_(number_of(threads)) {
    workers_.reserve(shares_.size() - 1);
    try {
      for (int i = 1; i < size(); ++i) workers_.emplace_back([this, i] { serve(i); });
    } catch (...) {
      stop();
      throw;
    }
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  ~ThreadPool() { stop(); }

  int size() const noexcept { return static_cast<int>(shares_.size()); }

  /// Calls body(i), or body(i, worker) with worker in [0, size()), once for every i in [0, count), in any
  /// order. Returns when all calls have ended. Each worker starts with a fixed range of consecutive i, which
  /// depends only on `count`, so consecutive i should work on neighbouring memory. Calls with the same
  /// `worker` never overlap, so scratch memory can be allocated per worker. If bodies throw, rethrows the
  /// exception of the lowest index that threw.
  template <class Body>
  void parallel_for(Index count, Body&& body) {
    if (count <= 0) return;
    const bool alone = workers_.empty() || count == 1 || in_use_.exchange(true, std::memory_order_acquire);
    if (alone) {
      for (Index i = 0; i < count; ++i) call(body, i, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    body_ = const_cast<void*>(static_cast<const void*>(&body));
    call_ = [](void* context, Index i, int worker) { call(*static_cast<Plain*>(context), i, worker); };
    for (Index w = 0; w < size(); ++w) {
      Share& share = shares_[static_cast<std::size_t>(w)];
      share.next.store(w * count / size(), std::memory_order_relaxed);
      share.end = (w + 1) * count / size();
    }
    error_index_ = count;
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    work(0);
    wait_until_zero();
    const std::exception_ptr error = std::exchange(error_, nullptr);
    in_use_.store(false, std::memory_order_release);
    if (error) std::rethrow_exception(error);
  }

 private:
  // About 50 microseconds of spinning. This is longer than the gap between two loops of a forward pass, and
  // short enough that an idle pool costs nothing.
  static constexpr int kSpins = 2000;

  /// The range of one worker, on its own cache line so that workers do not slow each other down.
  struct alignas(64) Share {
    std::atomic<Index> next{0};
    Index end = 0;
  };

  static std::size_t number_of(int threads) noexcept {
    return threads > 0 ? static_cast<std::size_t>(threads)
                       : std::max(1U, std::thread::hardware_concurrency());
  }

  void stop() noexcept {
    stop_.store(true, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  template <class Body>
  static void call(Body& body, Index i, int worker) {
    if constexpr (std::is_invocable_v<Body&, Index, int>) {
      body(i, worker);
    } else {
      body(i);
    }
  }

  static void pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  /// Runs the worker's own range first, because its data from the previous loop may still be in the worker's
  /// cache. Then runs what is left of the other workers' ranges.
  void work(int worker) noexcept {
    for (int other = 0; other < size(); ++other) {
      Share& share = shares_[static_cast<std::size_t>((worker + other) % size())];
      for (Index i = share.next.fetch_add(1, std::memory_order_relaxed); i < share.end;
           i = share.next.fetch_add(1, std::memory_order_relaxed)) {
        run(i, worker);
      }
    }
  }

  void run(Index i, int worker) noexcept {
    try {
      call_(body_, i, worker);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (i < error_index_) {
        error_index_ = i;
        error_ = std::current_exception();
      }
    }
  }

  void serve(int worker) noexcept {
    std::uint32_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin)
        pause();
      generation_.wait(seen, std::memory_order_acquire);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_.load(std::memory_order_relaxed)) return;
      work(worker);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  void wait_until_zero() noexcept {
    for (int spin = 0; spin < kSpins && busy_.load(std::memory_order_acquire) != 0; ++spin) pause();
    for (int left = busy_.load(std::memory_order_acquire); left != 0;
         left = busy_.load(std::memory_order_acquire)) {
      busy_.wait(left, std::memory_order_acquire);
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> in_use_{false};  ///< by a loop on several threads
  std::atomic<int> busy_{0};
  std::vector<Share> shares_;
  void* body_ = nullptr;
  void (*call_)(void*, Index, int) = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  Index error_index_ = 0;
};

}  // namespace vbp::inline VBP_ABI
