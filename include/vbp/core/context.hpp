#pragma once
/// What long work needs from its caller: threads to run on, somebody to tell how far it is, and a way to be
/// stopped. One Context is passed along instead of a thread pool in every object.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "vbp/core/config.hpp"
#include "vbp/core/error.hpp"
#include "vbp/core/threads.hpp"

namespace vbp::inline VBP_ABI {

/// How far a piece of work is.
struct ProgressUpdate {
  std::string task;  ///< what is done, for people: "calibrating"
  std::string unit;  ///< what is counted, in the plural: "images"
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::string note = {};  ///< more for people: "epoch 2/10, loss 0.41"
};

/// What a Context is made of. Each callback is called from the thread that started the work.
struct ContextOptions {
  int threads = 0;  ///< in all, the calling one included; 0: one a hardware thread
  std::function<void(const ProgressUpdate&)> progress = {};
  std::function<bool()> cancelled = {};  ///< asked between two batches, layers or measurements
};

/// A handle: copies share threads and callbacks, and an object that takes a Context keeps a copy.
///
/// Several threads may use objects of the same Context at the same time, each object by one thread; a loop
/// that finds the pool busy runs on its own thread alone, with the same result. A default Context is the
/// process's own: one pool of all hardware threads, started when it is first needed.
class Context {
 public:
  Context() : state_(of_process()) {}
  /// A pool of its own. Throws std::system_error if the system does not start so many threads.
  explicit Context(int threads) : Context(ContextOptions{.threads = threads}) {}
  explicit Context(ContextOptions options) : state_(std::make_shared<State>(std::move(options))) {}

  ThreadPool& pool() const noexcept { return state_->pool; }
  int threads() const noexcept { return state_->pool.size(); }

  /// Tells the caller how far the work is, if the caller wants to know.
  void report(const ProgressUpdate& update) const {
    if (state_->progress) state_->progress(update);
  }
  /// Whether somebody wants to know: an update that is costly to make need not be made otherwise.
  bool reports() const noexcept { return static_cast<bool>(state_->progress); }

  bool cancelled() const { return state_->cancelled && state_->cancelled(); }
  /// Throws Cancelled if the work is to stop.
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
