#pragma once
/// What a long computation needs from its caller: threads, a progress callback and a way to cancel it. One
/// Context is passed along, so that objects do not each own a thread pool.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "vbp/core/config.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"

namespace vbp::inline VBP_ABI {

/// The progress of a computation.
struct ProgressUpdate {
  std::string task;  ///< what is being done, for people: "calibrating"
  std::string unit;  ///< what is counted, in the plural: "images"
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string note = {};  ///< further text for people: "epoch 2/10, loss 0.41"
};

/// The settings of a Context. Each callback is called on the thread that started the work.
struct ContextOptions {
  int threads = 0;  ///< number of threads, including the calling one; 0: one per hardware thread
  std::function<void(const ProgressUpdate&)> progress = {};
  std::function<bool()> cancelled = {};  ///< called between two batches, layers or measurements
};

/// A handle: copies share threads and callbacks, and an object that takes a Context keeps a copy.
///
/// Several threads may work at the same time with objects that share a Context, as long as each object is
/// used by one thread at a time. A loop that finds the pool busy runs on its own thread only; the result is
/// the same. A default Context is shared by the whole process. Its pool has one thread per hardware thread
/// and starts when it is first needed.
class Context {
 public:
  Context() : state_(of_process()) {}
  /// Creates a Context with its own pool. Throws std::system_error if the system cannot start that many
  /// threads.
  explicit Context(int threads) : Context(ContextOptions{.threads = threads}) {}
  explicit Context(ContextOptions options) : state_(std::make_shared<State>(std::move(options))) {}

  ThreadPool& pool() const noexcept { return state_->pool; }
  int threads() const noexcept { return state_->pool.size(); }

  /// Calls the progress callback, if there is one.
  void report(const ProgressUpdate& update) const {
    if (state_->progress) state_->progress(update);
  }
  /// Whether there is a progress callback. A caller can skip building an expensive update if there is none.
  bool reports() const noexcept { return static_cast<bool>(state_->progress); }

  bool cancelled() const { return state_->cancelled && state_->cancelled(); }
  /// Throws Cancelled if the caller has asked to stop.
  void require_not_cancelled() const {
    if (cancelled()) throw Cancelled();
  }

 private:
  struct State {
    explicit State(ContextOptions options)
        : pool(options.threads),
          progress(std::move(options.progress)),
          cancelled(std::move(options.cancelled)) {}

    ThreadPool pool;
    std::function<void(const ProgressUpdate&)> progress;
    std::function<bool()> cancelled;
  };

  static const std::shared_ptr<State>& of_process() {
    static const auto state = std::make_shared<State>(ContextOptions{});
    return state;
  }

  std::shared_ptr<State> state_;
};

}  // namespace vbp::inline VBP_ABI
